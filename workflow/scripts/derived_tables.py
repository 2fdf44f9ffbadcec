"""Make the tables that follow from other tables."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from pathlib import Path

    from repbias.pipeline.derived import derive
    from repbias.tables import read_tables, write_table

    tables = read_tables(snakemake.input)
    for path in snakemake.output:
        name = Path(path).stem
        table = derive(name, tables, snakemake.params.references)
        write_table(path, name, table)
