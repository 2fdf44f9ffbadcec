"""Do one analysis of the networks of a condition."""

from repbias.job import job

with job(snakemake):
    import importlib

    from repbias.bias.spec import Bias
    from repbias.networks.spec import MLP
    from repbias.store import Networks, Stimuli
    from repbias.tables import write_table

    module, name = snakemake.params.function.split(":")
    layer = {"analysed_layer": snakemake.params.analysed_layer}
    table = getattr(importlib.import_module(module), name)(
        snakemake.wildcards.experiment,
        snakemake.wildcards.condition,
        Networks.read(snakemake.input.networks),
        Stimuli.read(snakemake.input.stimuli),
        MLP(**snakemake.params.network, **layer),
        Bias(**snakemake.params.bias),
    )
    write_table(snakemake.output[0], snakemake.wildcards.analysis, table)
