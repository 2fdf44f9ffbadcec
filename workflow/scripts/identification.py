"""Ask which measure of similarity names the network that computes the same."""

from repbias.job import job

with job(snakemake):
    from repbias.geometry.identification import identification_table
    from repbias.geometry.spec import Identification
    from repbias.store import Activations
    from repbias.tables import write_table

    spec = Identification(**snakemake.params.identification)
    files = map(Activations.open, snakemake.input)
    table = identification_table(
        spec.target.split("/")[0],
        spec.target,
        dict(zip(spec.candidates, files, strict=True)),
        snakemake.params.layers,
        spec,
    )
    write_table(snakemake.output[0], "identification", table)
