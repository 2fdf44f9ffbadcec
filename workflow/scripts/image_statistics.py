"""Describe every image of a set by low-level statistics."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.stimuli.images import open_images
    from repbias.stimuli.spec import ImageSet
    from repbias.stimuli.statistics import write_statistics

    write_statistics(snakemake.output[0], open_images(ImageSet(**snakemake.params.images)))
