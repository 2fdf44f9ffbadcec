"""Write the activations of conditions' networks on their test stimuli."""

from repbias.job import job

with job(snakemake):
    from repbias.batch import for_each
    from repbias.networks.activations import write_ensemble_activations
    from repbias.networks.spec import MLP
    from repbias.store import Networks, Stimuli

    def _write(name, network, stimuli, networks, path):
        write_ensemble_activations(
            path,
            Networks.read(networks),
            Stimuli.read(stimuli),
            MLP(**network),
            snakemake.params.device,
        )

    for_each(
        snakemake.params.conditions,
        _write,
        snakemake.input.stimuli,
        snakemake.input.networks,
        snakemake.output,
    )
