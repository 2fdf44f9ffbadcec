"""Run one of the user's networks over a set of images."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from pydantic import TypeAdapter

    from repbias.io.hdf5 import create
    from repbias.networks.model_activations import put_model_activations
    from repbias.networks.spec import GivenNetwork
    from repbias.stimuli.images import open_images
    from repbias.stimuli.spec import ImageSet

    name = snakemake.wildcards.network
    with create(snakemake.output[0], "activations") as file:
        put_model_activations(
            file.create_group(name),
            name,
            TypeAdapter(GivenNetwork).validate_python(snakemake.params.network),
            open_images(ImageSet(**snakemake.params.images)),
            snakemake.params.device,
        )
