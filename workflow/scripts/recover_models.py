"""Simulate brains with the noise of a recording, and count which model they are named."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.encoding.spec import Encoding
    from repbias.geometry.spec import Geometry
    from repbias.io.activations import Activations
    from repbias.io.recordings import Recording
    from repbias.recovery.models import recover
    from repbias.recovery.spec import Recovery
    from repbias.rsa.rdms import read_rdms
    from repbias.tables import write_table

    rdms, activations = snakemake.input.rdms, snakemake.input.activations
    settings = snakemake.params.settings
    table = recover(
        snakemake.wildcards.recording,
        Recording.read(snakemake.input.recording),
        snakemake.params.group,
        {m: read_rdms(rdms[i]) for m, i in snakemake.params.rdms.items()},
        {
            m: Activations.open(activations[i], m)
            for m, i in (snakemake.params.activations.items() if activations else ())
        },
        Geometry(**settings["geometry"]),
        Encoding(**settings["encoding"]),
        Recovery(**settings["recovery"]),
    )
    write_table(snakemake.output[0], "recovery", table)
