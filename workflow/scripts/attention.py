"""Draw what the tokens of transformers attend to."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.networks import Networks
    from repbias.io.stimuli import Stimuli
    from repbias.networks.architectures import architecture
    from repbias.networks.attention import attention_maps
    from repbias.report.figures.attention import draw_attention

    files = zip(*(snakemake.input[n] for n in ("stimuli", "networks")), strict=True)
    for (stimuli, networks), svg, about in zip(
        files, snakemake.output.svg, snakemake.params.conditions, strict=True
    ):
        found = attention_maps(
            Networks.read(networks, about["condition"]),
            Stimuli.read(stimuli, about["condition"]),
            architecture(about["network"]),
        )
        draw_attention(svg, found, about["places"], about["order"])
