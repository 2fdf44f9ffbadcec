"""Decide the claims that the study asks for."""

from repbias.job import job

with job(snakemake):
    from repbias.claims import decide
    from repbias.tables import read_table, write_table

    rsa = read_table(snakemake.input.rsa, "rsa_models")
    table = decide(
        snakemake.params.claims,
        read_table(snakemake.input.variance, "variance_explained"),
        rsa[rsa["comparator"] == snakemake.params.comparator],
        snakemake.params.layers,
    )
    write_table(snakemake.output[0], "claims", table)
