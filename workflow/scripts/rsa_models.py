"""Compare all networks of an experiment, or of a set of images, with each other."""

from repbias.job import job

with job(snakemake):
    from repbias.geometry.rdms import read_rdms
    from repbias.geometry.spec import Geometry
    from repbias.geometry.tables import compare_models
    from repbias.tables import write_table

    rdms = dict(zip(snakemake.params.members, map(read_rdms, snakemake.input), strict=True))
    geometry = Geometry(
        comparators=snakemake.params.comparators, distance=snakemake.params.distance
    )
    table = compare_models(snakemake.wildcards.group, rdms, geometry)
    write_table(snakemake.output[0], "rsa_models", table)
