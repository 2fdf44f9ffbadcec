"""Draw what a network sees: its filters, what its units prefer, its RDM and a map."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.report.captions import NETWORK_PICTURES
    from repbias.report.figures.network_pictures import (
        draw_network_pictures,
        read_filters,
        read_seen,
        read_units,
    )

    condition, params = snakemake.wildcards.condition, snakemake.params
    seen = read_seen(
        snakemake.input.stimuli,
        snakemake.input.activations,
        condition,
        params.layer,
        params.names_of_values,
    )
    draw_network_pictures(
        dict(zip(NETWORK_PICTURES, snakemake.output.svg, strict=True)),
        seen,
        read_units(snakemake.input.units or None, condition),
        read_filters(snakemake.input.networks, condition, seen.seed) if seen else None,
        params.distance,
        params.n_stimuli,
    )
