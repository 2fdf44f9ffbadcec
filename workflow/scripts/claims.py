"""Decide the claims and questions of the study."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.claims.decide import decide
    from repbias.config.questions import Question
    from repbias.tables import read_tables, write_table

    params = snakemake.params
    table = decide(
        params.claims,
        read_tables(snakemake.input),
        params.layers,
        params.rdm_similarity,
        {name: Question(**question) for name, question in params.questions.items()},
        params.settings,
        params.reported,
    )
    write_table(snakemake.output[0], "claims", table)
