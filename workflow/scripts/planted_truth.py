"""Ask whether RSA and encoding name the layer that generated each simulated recording."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.claims.recovery import planted_truth
    from repbias.io.tables import read_table, write_table

    table = planted_truth(
        snakemake.params.simulated,
        read_table(snakemake.input.rsa, "rsa_recordings"),
        read_table(snakemake.input.encoding, "encoding"),
    )
    write_table(snakemake.output[0], "planted_truth", table)
