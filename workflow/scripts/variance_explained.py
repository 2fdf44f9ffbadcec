"""Measure how much variance each feature explains, in every layer and over training."""

from repbias.job import job

with job(snakemake):
    from repbias.bias.variance import variance_table
    from repbias.networks.spec import MLP
    from repbias.store import Networks, Stimuli
    from repbias.tables import write_table

    table = variance_table(
        snakemake.wildcards.experiment,
        snakemake.wildcards.condition,
        Networks.read(snakemake.input.networks),
        Stimuli.read(snakemake.input.stimuli),
        MLP(**snakemake.params.network),
        snakemake.params.definition,
    )
    write_table(snakemake.output[0], "variance_explained", table)
