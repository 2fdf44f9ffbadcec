"""Generate the stimuli that the networks of each condition of a batch have in common."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.hdf5 import write_members
    from repbias.pipeline.jobs import for_each
    from repbias.stimuli.families import stimulus_family

    stimuli = for_each(
        snakemake.params.conditions, lambda _, spec: stimulus_family(spec).generate()
    )
    write_members(snakemake.output[0], "stimuli", stimuli)
