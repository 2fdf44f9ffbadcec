"""Generate the stimuli of one condition."""

from repbias.job import job

with job(snakemake):
    from repbias.stimuli.bits import generate
    from repbias.stimuli.spec import Bits

    generate(Bits(**snakemake.params.stimuli)).write(snakemake.output[0])
