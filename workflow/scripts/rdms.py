"""Compute the RDM of every layer of every network in activations files."""

from repbias.job import job

with job(snakemake):
    from repbias.batch import for_each
    from repbias.geometry.rdms import write_layer_rdms
    from repbias.store import Activations

    def _write(name, n_stimuli, activations, path):
        write_layer_rdms(
            path,
            Activations.open(activations),
            snakemake.params.distance,
            n_stimuli,
            snakemake.params.max_memory_mb,
        )

    for_each(snakemake.params.conditions, _write, snakemake.input, snakemake.output)
