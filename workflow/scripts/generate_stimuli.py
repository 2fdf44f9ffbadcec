"""Generate the stimuli of conditions."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.pipeline.jobs import for_each
    from repbias.stimuli.bits import generate
    from repbias.stimuli.spec import Bits

    def _write(name, stimuli, path):
        generate(Bits(**stimuli)).write(path)

    for_each(snakemake.params.conditions, _write, snakemake.output)
