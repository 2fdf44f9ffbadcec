"""Analyse systems that compute on encrypted representations of a condition's stimuli."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.bias.encryption import encryption_table
    from repbias.io.stimuli import Stimuli
    from repbias.stimuli.bits import Bits
    from repbias.tables import write_table

    experiment, condition = snakemake.params.condition.split("/", 1)
    stimuli = Stimuli.read(snakemake.input[0], condition)
    family = Bits(**snakemake.params.stimuli)
    if family.training_sets == "own":  # probes are fitted on what the first network saw
        stimuli = stimuli.joined(family.training_set(0, stimuli))
    seeds = list(range(snakemake.params.seeds))
    table = encryption_table(experiment, condition, stimuli, seeds, family)
    write_table(snakemake.output[0], "encryption", table)
