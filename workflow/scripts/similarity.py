"""Compare all networks of an experiment with each other, by many measures."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.geometry.spec import Similarity
    from repbias.io.activations import Activations
    from repbias.rsa.network_similarity import similarity_table
    from repbias.tables import write_table

    layers = snakemake.params.layers
    files = map(Activations.open, snakemake.input, layers)
    table = similarity_table(
        snakemake.wildcards.experiment,
        dict(zip(layers, files, strict=True)),
        layers,
        Similarity(**snakemake.params.similarity),
    )
    write_table(snakemake.output[0], "similarity", table)
