"""Do one analysis of the networks of conditions."""

from repbias.pipeline.jobs import job

with job(snakemake):
    import importlib

    from repbias.bias.spec import Bias
    from repbias.io.networks import Networks
    from repbias.io.stimuli import Stimuli
    from repbias.networks.spec import MLP
    from repbias.pipeline.jobs import for_each
    from repbias.tables import write_table

    module, function = snakemake.params.function.split(":")
    analyse = getattr(importlib.import_module(module), function)
    bias = Bias(**snakemake.params.bias)

    def _write(name, network, stimuli, networks, path):
        table = analyse(
            *name.split("/", 1),
            Networks.read(networks),
            Stimuli.read(stimuli),
            MLP(**network),
            bias,
        )
        write_table(path, snakemake.wildcards.analysis, table)

    for_each(
        snakemake.params.conditions,
        _write,
        snakemake.input.stimuli,
        snakemake.input.networks,
        snakemake.output,
    )
