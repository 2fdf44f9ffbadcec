"""Analyse systems that compute on encrypted representations of a condition's stimuli."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.bias.encryption import encryption_table
    from repbias.io.stimuli import Stimuli
    from repbias.stimuli.bits import Bits
    from repbias.tables import write_table

    experiment, condition = snakemake.params.condition.split("/", 1)
    table = encryption_table(
        experiment,
        condition,
        Stimuli.read(snakemake.input[0], condition),
        list(range(snakemake.params.seeds)),
        Bits(**snakemake.params.stimuli),
    )
    write_table(snakemake.output[0], "encryption", table)
