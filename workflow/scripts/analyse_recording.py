"""Do one analysis of a recording, alone or with the networks that saw its stimuli."""

from repbias.pipeline.jobs import job

with job(snakemake):
    import importlib

    from repbias.io.activations import Activations
    from repbias.io.recordings import Recording
    from repbias.tables import write_table

    function, networks, section = (
        snakemake.params.analysis[key] for key in ("function", "networks", "settings")
    )
    arguments = [snakemake.wildcards.recording, Recording.read(snakemake.input.recording)]
    if networks == "rdms":
        from repbias.rsa.rdms import read_rdms as read
    else:
        read = Activations.open
    if networks:
        files = map(read, snakemake.input.networks)
        arguments += [
            snakemake.params.group,
            dict(zip(snakemake.params.members, files, strict=True)),
        ]
    if section:
        spec = importlib.import_module(f"repbias.{section}.spec")
        arguments.append(getattr(spec, section.capitalize())(**snakemake.params.settings))
    module, name = function.split(":")
    table = getattr(importlib.import_module(module), name)(*arguments)
    write_table(snakemake.output[0], snakemake.wildcards.analysis, table)
