"""Ask which measure of similarity names the network that computes the same."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.auditing.identification import identification_table
    from repbias.geometry.spec import Identification
    from repbias.io.activations import Activations
    from repbias.tables import write_table

    spec = Identification(**snakemake.params.identification)
    places = snakemake.params.places
    candidates = {
        name: Activations.open(snakemake.input[i], name.split("/", 1)[1])
        for name, i in places.items()
    }
    table = identification_table(
        spec.target.split("/")[0],
        spec.target,
        candidates,
        snakemake.params.layers,
        spec,
    )
    write_table(snakemake.output[0], "identification", table)
