"""Join the parts of every table."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from pathlib import Path

    from repbias.tables import join_tables, read_table, write_table

    for path in snakemake.output:
        name = Path(path).stem
        parts = snakemake.input[name]
        parts = [parts] if isinstance(parts, str) else parts
        write_table(path, name, join_tables(name, (read_table(part, name) for part in parts)))
