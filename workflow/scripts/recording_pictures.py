"""Draw a recording's RDM, the models' beside it, and maps of the stimuli."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.auditing.tables import labels_of
    from repbias.geometry.spec import Geometry
    from repbias.io.recordings import Recording
    from repbias.report.figures.pictures import (
        draw_recording_pictures,
        groups_of_stimuli,
        models_shown,
    )
    from repbias.rsa.common import on_common_stimuli
    from repbias.rsa.rdms import read_rdms
    from repbias.rsa.tables import place, region_rdms
    from repbias.stimuli.images import open_images
    from repbias.stimuli.spec import ImageSet

    name, images = snakemake.wildcards.recording, snakemake.params.images
    geometry = Geometry(**snakemake.params.geometry)
    recording = on_common_stimuli(Recording.read(snakemake.input.recording), geometry.min_units)
    files = map(read_rdms, snakemake.input.rdms)
    models = dict(zip(snakemake.params.members, files, strict=True))
    # Of generated stimuli, the features come with the networks.
    recording.stimuli = labels_of(models, recording.stimulus_ids) | recording.stimuli
    draw_recording_pictures(
        name,
        recording,
        {place(name, region): rdms for region, _, rdms in region_rdms(recording, geometry, name)},
        models_shown(models, snakemake.params.layers, snakemake.params.spaces),
        open_images(ImageSet(**images)) if images and images["path"] else None,
        groups_of_stimuli(recording),
        *snakemake.output.svg,
    )
