"""Ask whether RSA and encoding name the layer that generated each simulated recording."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.claims.recovery import model_recovery
    from repbias.tables import read_table, write_table

    table = model_recovery(
        snakemake.params.simulated,
        read_table(snakemake.input.rsa, "rsa_recordings"),
        read_table(snakemake.input.encoding, "encoding"),
    )
    write_table(snakemake.output[0], "model_recovery", table)
