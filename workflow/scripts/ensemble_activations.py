"""Write the activations of conditions' networks on their test stimuli."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.networks import Networks
    from repbias.io.stimuli import Stimuli
    from repbias.networks.activations import write_ensemble_activations
    from repbias.networks.spec import MLP
    from repbias.pipeline.jobs import for_each

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
