"""Write the activations of a batch of conditions' networks on their test stimuli."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.hdf5 import create
    from repbias.io.networks import Networks
    from repbias.io.stimuli import Stimuli
    from repbias.networks.activations import put_trained_activations
    from repbias.networks.architectures import architecture
    from repbias.pipeline.jobs import for_each

    with create(snakemake.output[0], "activations") as file:

        def _put(condition, network):
            put_trained_activations(
                file.create_group(condition),
                Networks.read(snakemake.input.networks, condition),
                Stimuli.read(snakemake.input.stimuli, condition),
                architecture(network),
                snakemake.params.device,
            )

        list(for_each(snakemake.params.conditions, _put))
