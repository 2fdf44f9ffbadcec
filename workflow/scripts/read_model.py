"""Read a model that is already computed: its activations, or its RDMs."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from pydantic import TypeAdapter

    from repbias.io.hdf5 import create
    from repbias.networks.kinds import ComputedNetwork
    from repbias.networks.model_arrays import ArrayNetwork, put_array_activations
    from repbias.networks.model_rdms import put_model_rdms
    from repbias.stimuli.images import open_images
    from repbias.stimuli.spec import ImageSet

    name = snakemake.wildcards.network
    spec = TypeAdapter(ComputedNetwork).validate_python(snakemake.params.network)
    images = open_images(ImageSet(**snakemake.params.images))
    put = put_array_activations if isinstance(spec, ArrayNetwork) else put_model_rdms
    with create(snakemake.output[0], "activations") as file:
        put(file.create_group(name), name, spec, images)
