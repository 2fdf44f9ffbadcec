"""Compare a recording's RDMs with those of every network that saw its stimuli."""

from repbias.job import job

with job(snakemake):
    from repbias.geometry.rdms import read_rdms
    from repbias.geometry.spec import Geometry
    from repbias.geometry.tables import compare_with_recording
    from repbias.store import Recording
    from repbias.tables import write_table

    table = compare_with_recording(
        snakemake.wildcards.recording,
        Recording.read(snakemake.input.recording),
        snakemake.params.group,
        dict(zip(snakemake.params.members, map(read_rdms, snakemake.input.rdms), strict=True)),
        Geometry(**snakemake.params.geometry),
    )
    write_table(snakemake.output[0], "rsa_recordings", table)
