"""Put published numbers beside those that are measured here."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.claims.references import compare_references
    from repbias.config.references import Reference
    from repbias.tables import read_tables, write_table

    references = [Reference(**entry) for entry in snakemake.params.references]
    table = compare_references(references, read_tables(snakemake.input))
    write_table(snakemake.output[0], "references", table)
