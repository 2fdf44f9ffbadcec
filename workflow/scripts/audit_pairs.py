"""Divide the similarity of recordings of the same stimuli among features of these."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.auditing.pairs import audit_pairs
    from repbias.auditing.spec import Audit
    from repbias.geometry.spec import Geometry
    from repbias.io.recordings import Recording
    from repbias.stimuli.statistics import read_statistics
    from repbias.tables import write_table

    files = map(Recording.read, snakemake.input.recordings)
    table = audit_pairs(
        dict(zip(snakemake.params.recordings, files, strict=True)),
        read_statistics(snakemake.input.statistics),
        Geometry(**snakemake.params.geometry),
        Audit(**snakemake.params.audit),
    )
    write_table(snakemake.output[0], "audit", table)
