"""Train every seed of one condition as stacked ensembles."""

from repbias.job import job

with job(snakemake):
    from repbias.networks.spec import MLP, Training
    from repbias.networks.training import learning_table, train
    from repbias.store import Stimuli
    from repbias.tables import write_table

    networks = train(
        Stimuli.read(snakemake.input.stimuli),
        MLP(**snakemake.params.network),
        Training(**snakemake.params.training),
        list(range(snakemake.params.seeds)),
        snakemake.params.device,
    )
    networks.write(snakemake.output.networks)
    table = learning_table(snakemake.wildcards.experiment, snakemake.wildcards.condition, networks)
    write_table(snakemake.output.learning, "learning", table)
