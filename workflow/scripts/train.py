"""Train every seed of the conditions as stacked ensembles."""

from repbias.job import job

with job(snakemake):
    from repbias.networks.spec import MLP, Training
    from repbias.networks.training import Ensemble, learning_table, train_ensembles
    from repbias.store import Stimuli
    from repbias.tables import write_table

    specs = snakemake.params.conditions
    conditions = [
        Ensemble(
            Stimuli.read(path),
            MLP(**spec["network"]),
            Training(**spec["training"]),
            range(spec["seeds"]),
        )
        for path, spec in zip(snakemake.input.stimuli, specs.values(), strict=True)
    ]
    outputs = zip(
        specs,
        conditions,
        train_ensembles(conditions, snakemake.params.device),
        snakemake.output.networks,
        snakemake.output.learning,
        strict=True,
    )
    for name, condition, networks, networks_path, learning_path in outputs:
        networks.write(networks_path)
        experiment, _, condition_name = name.partition("/")
        mastery = condition.training.mastery
        table = learning_table(experiment, condition_name, networks, mastery)
        write_table(learning_path, "learning", table)
