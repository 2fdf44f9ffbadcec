"""Do one analysis of a recording, alone or with the networks that saw its stimuli."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.recordings import Recording
    from repbias.pipeline.recording_analyses import analyse_recording
    from repbias.tables import write_table

    table = analyse_recording(
        snakemake.params.analysis,
        snakemake.wildcards.recording,
        Recording.read(snakemake.input.recording),
        snakemake.params.group,
        {m: snakemake.input.networks[i] for m, i in snakemake.params.places.items()},
        snakemake.params.settings,
    )
    write_table(snakemake.output[0], snakemake.wildcards.analysis, table)
