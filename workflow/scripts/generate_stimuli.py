"""Generate the stimuli of a batch of conditions."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.hdf5 import write_members
    from repbias.pipeline.jobs import for_each
    from repbias.stimuli.families import generated

    stimuli = for_each(snakemake.params.conditions, lambda _, spec: generated(spec))
    write_members(snakemake.output[0], "stimuli", stimuli)
