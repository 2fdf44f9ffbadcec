"""Compute the RDM of every layer of every network in activations files."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.activations import Activations
    from repbias.pipeline.jobs import for_each
    from repbias.rsa.rdms import write_layer_rdms

    def _write(name, n_stimuli, activations, path):
        write_layer_rdms(
            path,
            Activations.open(activations),
            snakemake.params.distance,
            n_stimuli,
            snakemake.params.max_memory_mb,
        )

    for_each(snakemake.params.conditions, _write, snakemake.input, snakemake.output)
