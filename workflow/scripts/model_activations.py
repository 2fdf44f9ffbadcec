"""Run one of the user's networks over a set of images."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from pydantic import TypeAdapter

    from repbias.networks.activations import write_model_activations
    from repbias.networks.spec import Network
    from repbias.stimuli.images import open_images
    from repbias.stimuli.spec import ImageSet

    write_model_activations(
        snakemake.output[0],
        snakemake.wildcards.network,
        TypeAdapter(Network).validate_python(snakemake.params.network),
        open_images(ImageSet(**snakemake.params.images)),
        snakemake.params.device,
    )
