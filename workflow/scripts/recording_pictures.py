"""Draw a recording's RDM, the models' beside it, and maps of the stimuli."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.geometry.spec import Geometry
    from repbias.io.recordings import Recording
    from repbias.report.figures.pictures import (
        draw_recording_pictures,
        groups_of_stimuli,
        models_shown,
    )
    from repbias.rsa.rdms import read_rdms, subject_rdms
    from repbias.stimuli.images import open_images
    from repbias.stimuli.spec import ImageSet

    name, images = snakemake.wildcards.recording, snakemake.params.images
    recording = Recording.read(snakemake.input.recording)
    files = map(read_rdms, snakemake.input.rdms)
    models = dict(zip(snakemake.params.members, files, strict=True))
    draw_recording_pictures(
        name,
        recording,
        subject_rdms(recording, Geometry(**snakemake.params.geometry), name),
        models_shown(models, snakemake.params.layers),
        open_images(ImageSet(**images)) if images and images["path"] else None,
        groups_of_stimuli(recording),
        *snakemake.output.svg,
    )
