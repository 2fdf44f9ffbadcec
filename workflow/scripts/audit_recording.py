"""Divide the scores of networks with a recording among features of the stimuli."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.auditing.spec import Audit
    from repbias.auditing.tables import audit_recording
    from repbias.geometry.spec import Geometry
    from repbias.io.recordings import Recording
    from repbias.rsa.rdms import read_rdms
    from repbias.stimuli.statistics import read_statistics
    from repbias.tables import write_table

    tables = audit_recording(
        snakemake.wildcards.recording,
        Recording.read(snakemake.input.recording),
        snakemake.params.group,
        {m: read_rdms(snakemake.input.networks[i]) for m, i in snakemake.params.places.items()},
        read_statistics(snakemake.input.statistics),
        Geometry(**snakemake.params.geometry),
        Audit(**snakemake.params.audit),
    )
    for path, (name, table) in zip(snakemake.output, tables.items(), strict=True):
        write_table(path, name, table)
