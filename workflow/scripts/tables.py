"""Join the parts of every table, and make the tables that follow from others."""

from pathlib import Path

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.pipeline.gather import gather_tables

    gather_tables(
        Path(snakemake.output[0]).parent,
        dict(snakemake.input.items()),
        [Path(path).stem for path in snakemake.output],
        snakemake.params.simulated,
        snakemake.params.references,
    )
