"""Simulate a recording from one layer of a trained network."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.activations import Activations
    from repbias.recordings.simulate import SimulatedRecording, simulate

    spec = SimulatedRecording(**snakemake.params.recording)
    simulate(spec, Activations.open(snakemake.input[0])).write(snakemake.output[0])
