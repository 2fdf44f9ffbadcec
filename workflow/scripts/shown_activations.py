"""Show a set of images to networks that an experiment has trained."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.hdf5 import create
    from repbias.io.networks import Networks
    from repbias.networks.activations import put_shown_activations
    from repbias.networks.architectures import architecture
    from repbias.stimuli.images import open_images
    from repbias.stimuli.spec import ImageSet

    trained = snakemake.params.trained
    networks = Networks.read(snakemake.input.networks, trained["condition"])
    with create(snakemake.output[0], "activations") as file:
        put_shown_activations(
            file.create_group(snakemake.wildcards.network),
            networks.of_seeds(range(trained["seeds"])),
            architecture(trained["network"]),
            trained["shape"],
            open_images(ImageSet(**snakemake.params.images)),
            snakemake.params.device,
        )
