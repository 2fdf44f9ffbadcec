"""Draw a recording's RDM, the models' beside it, and maps of the stimuli."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.geometry.spec import Geometry
    from repbias.io.recordings import Recording
    from repbias.report.figures.pictures import (
        draw_no_pictures,
        draw_recording_pictures,
        groups_of_stimuli,
        models_shown,
    )
    from repbias.rsa.rdms import TooFewUnits, read_rdms, subject_rdms
    from repbias.stimuli.images import open_images
    from repbias.stimuli.spec import ImageSet

    name, images = snakemake.wildcards.recording, snakemake.params.images
    recording = Recording.read(snakemake.input.recording)
    files = map(read_rdms, snakemake.input.rdms)
    models = dict(zip(snakemake.params.members, files, strict=True))
    try:
        rdms = subject_rdms(recording, Geometry(**snakemake.params.geometry), name)
    except TooFewUnits as error:
        draw_no_pictures(str(error), *snakemake.output.svg)
    else:
        draw_recording_pictures(
            name,
            recording,
            rdms,
            models_shown(models, snakemake.params.layers),
            open_images(ImageSet(**images)) if images and images["path"] else None,
            groups_of_stimuli(recording),
            *snakemake.output.svg,
        )
