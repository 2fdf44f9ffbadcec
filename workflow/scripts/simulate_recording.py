"""Simulate a recording from one layer of a trained network."""

from repbias.job import job

with job(snakemake):
    from repbias.recordings.simulate import SimulatedRecording, simulate
    from repbias.store import Activations

    spec = SimulatedRecording(**snakemake.params.recording)
    simulate(spec, Activations.open(snakemake.input[0])).write(snakemake.output[0])
