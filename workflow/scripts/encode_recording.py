"""Predict a recording's units from every layer of every network that saw its stimuli."""

from repbias.job import job

with job(snakemake):
    from repbias.encoding.spec import Encoding
    from repbias.encoding.tables import encode_recording
    from repbias.store import Activations, Recording
    from repbias.tables import write_table

    files = map(Activations.open, snakemake.input.activations)
    table = encode_recording(
        snakemake.wildcards.recording,
        Recording.read(snakemake.input.recording),
        snakemake.params.group,
        dict(zip(snakemake.params.members, files, strict=True)),
        Encoding(**snakemake.params.encoding),
    )
    write_table(snakemake.output[0], "encoding", table)
