"""Ask which measure of similarity names the network that computes the same."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.geometry.spec import Identification
    from repbias.io.activations import Activations
    from repbias.rsa.identification import identification_table
    from repbias.tables import write_table

    spec = Identification(**snakemake.params.identification)
    conditions = [candidate.split("/", 1)[1] for candidate in spec.candidates]
    files = map(Activations.open, snakemake.input, conditions)
    table = identification_table(
        spec.target.split("/")[0],
        spec.target,
        dict(zip(spec.candidates, files, strict=True)),
        snakemake.params.layers,
        spec,
    )
    write_table(snakemake.output[0], "identification", table)
