"""Compare the RDMs of recordings that were made with the same stimuli."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.geometry.spec import Geometry
    from repbias.io.recordings import Recording
    from repbias.rsa.tables import compare_recordings
    from repbias.tables import write_table

    files = map(Recording.read, snakemake.input)
    recordings = dict(zip(snakemake.params.recordings, files, strict=True))
    table = compare_recordings(recordings, Geometry(**snakemake.params.geometry))
    write_table(snakemake.output[0], "rsa_between_recordings", table)
