"""Estimate the reliability of a recording's units."""

from repbias.job import job

with job(snakemake):
    from repbias.recordings.reliability import reliability_table
    from repbias.store import Recording
    from repbias.tables import write_table

    table = reliability_table(snakemake.wildcards.recording, Recording.read(snakemake.input[0]))
    write_table(snakemake.output[0], "reliability", table)
