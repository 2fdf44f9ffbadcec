"""Divide scores of brains simulated with the noise of a recording among features."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.auditing.spec import Audit
    from repbias.geometry.spec import Geometry
    from repbias.io.activations import Activations
    from repbias.io.recordings import Recording
    from repbias.recovery.shares import recover_shares
    from repbias.recovery.spec import Recovery
    from repbias.rsa.rdms import read_rdms
    from repbias.stimuli.statistics import read_statistics
    from repbias.tables import write_table

    rdms, activations = snakemake.input.rdms, snakemake.input.activations
    table = recover_shares(
        snakemake.wildcards.recording,
        Recording.read(snakemake.input.recording),
        snakemake.params.group,
        {m: read_rdms(rdms[i]) for m, i in snakemake.params.rdms.items()},
        {
            m: Activations.open(activations[i], m)
            for m, i in (snakemake.params.activations.items() if activations else ())
        },
        snakemake.params.layers,
        read_statistics(snakemake.input.statistics),
        Geometry(**snakemake.params.geometry),
        Audit(**snakemake.params.audit),
        Recovery(**snakemake.params.recovery),
    )
    write_table(snakemake.output[0], "recovery_shares", table)
