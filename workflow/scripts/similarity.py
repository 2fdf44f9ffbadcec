"""Compare all networks of an experiment with each other, by many measures."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.geometry.spec import Similarity
    from repbias.io.activations import Activations
    from repbias.rsa.network_similarity import similarity_table
    from repbias.tables import write_table

    places = snakemake.params.places
    table = similarity_table(
        snakemake.wildcards.experiment,
        {name: Activations.open(snakemake.input[i], name) for name, i in places.items()},
        snakemake.params.layers,
        Similarity(**snakemake.params.similarity),
    )
    write_table(snakemake.output[0], "similarity", table)
