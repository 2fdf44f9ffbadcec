"""Read a recording into its canonical file."""

from repbias.pipeline.jobs import job

with job(snakemake):
    import numpy as np
    from pydantic import TypeAdapter

    from repbias.recordings.readers import RecordingSpec, read_recording
    from repbias.stimuli.images import open_images
    from repbias.stimuli.spec import ImageSet

    spec = TypeAdapter(RecordingSpec).validate_python(snakemake.params.recording)
    images = ImageSet(**snakemake.params.images)
    stimuli = open_images(images)
    recording = read_recording(spec, np.array(stimuli.ids), stimuli.columns, images.groups)
    if stimuli.said:
        recording.info["set"] = stimuli.said
    recording.write(snakemake.output[0])
