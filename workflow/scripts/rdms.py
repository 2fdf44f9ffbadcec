"""Compute the RDM of every layer of every network in an activations file."""

from repbias.job import job

with job(snakemake):
    from repbias.geometry.rdms import layer_rdms, save_rdms
    from repbias.store import Activations

    activations = Activations.open(snakemake.input[0])
    rdms = layer_rdms(activations, snakemake.params.distance, snakemake.params.n_stimuli)
    save_rdms(snakemake.output[0], rdms)
