"""Write the activations of one condition's networks on its test stimuli."""

from repbias.job import job

with job(snakemake):
    from repbias.networks.activations import write_ensemble_activations
    from repbias.networks.spec import MLP
    from repbias.store import Networks, Stimuli

    write_ensemble_activations(
        snakemake.output[0],
        Networks.read(snakemake.input.networks),
        Stimuli.read(snakemake.input.stimuli),
        MLP(**snakemake.params.network),
    )
