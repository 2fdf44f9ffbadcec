"""Train every seed of conditions as stacked ensembles."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.stimuli import Stimuli
    from repbias.networks.spec import MLP, Training
    from repbias.networks.training import Ensemble, learning_table, train_ensembles
    from repbias.pipeline.jobs import for_each
    from repbias.tables import write_table

    ensembles = []

    def _read(name, spec, stimuli):
        ensembles.append(
            Ensemble(
                Stimuli.read(stimuli),
                MLP(**spec["network"]),
                Training(**spec["training"]),
                range(spec["seeds"]),
            )
        )
        ensembles[-1].check()

    def _write(name, spec, networks, networks_path, learning_path):
        networks.write(networks_path)
        table = learning_table(*name.split("/", 1), networks, spec["training"]["mastery"])
        write_table(learning_path, "learning", table)

    conditions = snakemake.params.conditions
    for_each(conditions, _read, snakemake.input.stimuli)
    trained = train_ensembles(ensembles, snakemake.params.device)
    for_each(conditions, _write, trained, snakemake.output.networks, snakemake.output.learning)
