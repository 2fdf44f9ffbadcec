"""Do one analysis of a recording, alone or with the networks that saw its stimuli."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.recordings import Recording
    from repbias.io.tables import write_table
    from repbias.pipeline.analyse import analyse_recording

    analysis = snakemake.wildcards.analysis
    table = analyse_recording(
        analysis,
        snakemake.wildcards.recording,
        Recording.read(snakemake.input.recording),
        snakemake.params.group,
        dict(zip(snakemake.params.members, snakemake.input.networks, strict=False)),
        snakemake.params.settings,
    )
    write_table(snakemake.output[0], analysis, table)
