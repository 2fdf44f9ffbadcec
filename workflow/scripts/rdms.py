"""Compute the RDM of every layer of every network of a condition, or of a network."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.activations import Activations
    from repbias.rsa.rdms import write_layer_rdms

    write_layer_rdms(
        snakemake.output[0],
        Activations.open(snakemake.input[0], snakemake.wildcards.member),
        snakemake.params.distance,
        snakemake.params.n_stimuli,
        snakemake.params.max_memory_mb,
    )
