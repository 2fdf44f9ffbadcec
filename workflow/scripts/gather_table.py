"""Join the parts of a table."""

from repbias.pipeline.jobs import job

with job(snakemake):
    import pandas as pd

    from repbias.tables import as_table, read_table, write_table

    name = snakemake.wildcards.table
    parts = [part for path in snakemake.input if len(part := read_table(path, name))]
    joined = pd.concat(parts, ignore_index=True) if parts else as_table(name)
    write_table(snakemake.output[0], name, joined)
