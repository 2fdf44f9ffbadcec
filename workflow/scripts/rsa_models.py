"""Compare all networks of an experiment, or of a set of images, with each other."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.geometry.spec import Geometry
    from repbias.rsa.rdms import read_rdms
    from repbias.rsa.tables import compare_models, compare_with_untrained
    from repbias.tables import write_table

    rdms = dict(zip(snakemake.params.members, map(read_rdms, snakemake.input), strict=True))
    geometry = Geometry(
        rdm_similarities=snakemake.params.rdm_similarities, distance=snakemake.params.distance
    )
    tables = {"rsa_models": compare_models, "rsa_untrained": compare_with_untrained}
    for name, compare in tables.items():
        table = compare(snakemake.wildcards.group, rdms, geometry)
        write_table(snakemake.output[name], name, table)
