"""Draw every figure as SVG, with its data as CSV."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.report.figures import draw_figures

    draw_figures(
        snakemake.output.svg,
        snakemake.input.tables,
        snakemake.params.layers,
        snakemake.params.generators,
        snakemake.params.reported,
        snakemake.params.spaces,
        snakemake.params.questions,
        snakemake.params.settings,
        snakemake.threads,
    )
