"""Write the self-contained HTML report."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.report.page import write_page

    write_page(
        snakemake.output[0],
        tables=snakemake.input.tables,
        figures=[
            path
            for kind in ("figures", "pictures", "stimuli", "networks")
            for path in snakemake.input[kind]
        ],
        config=snakemake.input.config,
        benchmarks=snakemake.params.benchmarks,
        layers=snakemake.params.layers,
        not_pictured=snakemake.params.not_pictured,
        trained=snakemake.params.trained,
        settings=snakemake.params.settings,
    )
