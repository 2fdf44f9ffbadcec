"""Train every seed of a batch of conditions, as stacked ensembles."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.hdf5 import write_members
    from repbias.networks.batch import learning_tables, remember, train_batch
    from repbias.tables import write_table

    conditions, networks = snakemake.params.conditions, snakemake.output.networks
    trained = train_batch(
        conditions,
        snakemake.input.stimuli,
        networks,
        snakemake.params.device,
        snakemake.params.recipe,
        snakemake.input.sources,
    )
    write_members(networks, "networks", trained.items())
    if "networks" in snakemake.config.get("keep", ["networks"]):
        remember(networks)
    table = learning_tables(snakemake.wildcards.experiment, trained, conditions)
    write_table(snakemake.output.learning, "learning", table)
