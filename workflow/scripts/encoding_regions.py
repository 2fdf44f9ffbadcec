"""Summarise the encoding scores of units by region."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.encoding.regions import region_table
    from repbias.tables import read_table, write_table

    table = region_table(read_table(snakemake.input[0], "encoding"))
    write_table(snakemake.output[0], "encoding_regions", table)
