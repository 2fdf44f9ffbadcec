"""Write the self-contained HTML report."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.report.page import write_page

    write_page(
        snakemake.output[0],
        tables=snakemake.input.tables,
        figures=[*snakemake.input.figures, *snakemake.input.pictures],
        config=snakemake.input.config,
        benchmarks=snakemake.params.benchmarks,
        layers=snakemake.params.layers,
        trained=snakemake.params.trained,
    )
