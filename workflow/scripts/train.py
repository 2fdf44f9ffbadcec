"""Train every seed of a batch of conditions, as stacked ensembles."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.hdf5 import write_members
    from repbias.networks.batch import learning_tables, train_batch
    from repbias.tables import write_table

    trained = train_batch(
        snakemake.params.conditions,
        snakemake.input[0],
        snakemake.output.networks,
        snakemake.params.device,
        snakemake.params.code,
    )
    write_members(snakemake.output.networks, "networks", trained.items())
    table = learning_tables(snakemake.wildcards.experiment, trained, snakemake.params.conditions)
    write_table(snakemake.output.learning, "learning", table)
