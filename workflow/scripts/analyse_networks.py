"""Do all analyses of the networks of a batch of conditions."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.networks import Networks
    from repbias.io.stimuli import Stimuli
    from repbias.networks.architectures import architecture
    from repbias.pipeline.jobs import for_each
    from repbias.pipeline.network_analyses import analyse_networks
    from repbias.tables import join_tables, write_table

    def _analyse(condition, network):
        return analyse_networks(
            snakemake.wildcards.experiment,
            condition,
            Networks.read(snakemake.input.networks, condition),
            Stimuli.read(snakemake.input.stimuli, condition),
            architecture(network),
            snakemake.params.analyses,
            snakemake.params.device,
        )

    tables = [of_one for _, of_one in for_each(snakemake.params.conditions, _analyse)]
    for name, path in snakemake.output.items():
        parts = [of_one[name] for of_one in tables if name in of_one]
        write_table(path, name, join_tables(name, parts))
