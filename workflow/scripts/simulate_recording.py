"""Simulate a recording from one layer of a trained network."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.activations import Activations
    from repbias.recordings.simulate import SimulatedRecording, simulate

    spec = SimulatedRecording(**snakemake.params.recording)
    condition = spec.source.split("/", 1)[1]
    recording = simulate(spec, Activations.open(snakemake.input[0], condition))
    recording.write(snakemake.output[0])
