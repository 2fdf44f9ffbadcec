"""Decide the claims that the study asks for."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.claims.decide import decide
    from repbias.tables import read_tables, write_table

    tables = read_tables(snakemake.input)
    rsa = tables["rsa_models"]
    tables["rsa_models"] = rsa[rsa["rdm_similarity"] == snakemake.params.rdm_similarity]
    table = decide(snakemake.params.claims, tables, snakemake.params.layers)
    write_table(snakemake.output[0], "claims", table)
