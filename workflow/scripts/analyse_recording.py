"""Do analyses of a recording, alone or with the networks that saw its stimuli."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.recordings import Recording
    from repbias.pipeline.recording_analyses import analyse_recording
    from repbias.tables import write_table

    tables = analyse_recording(
        snakemake.params.analyses,
        snakemake.wildcards.recording,
        Recording.read(snakemake.input.recording),
        snakemake.params.group,
        {m: snakemake.input.networks[i] for m, i in snakemake.params.places.items()},
    )
    for path, (name, table) in zip(snakemake.output, tables, strict=True):
        write_table(path, name, table)
