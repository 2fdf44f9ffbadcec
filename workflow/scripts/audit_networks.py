"""Divide the similarity of networks among features of the stimuli."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.auditing.networks import audit_networks
    from repbias.auditing.spec import Audit
    from repbias.rsa.rdms import read_rdms
    from repbias.stimuli.images import open_images
    from repbias.stimuli.spec import ImageSet
    from repbias.stimuli.statistics import read_statistics
    from repbias.tables import write_table

    images = snakemake.params.images
    files = map(read_rdms, snakemake.input.networks)
    table = audit_networks(
        snakemake.wildcards.group,
        dict(zip(snakemake.params.members, files, strict=True)),
        snakemake.params.layers,
        open_images(ImageSet(**images)) if images else None,
        read_statistics(snakemake.input.statistics),
        Audit(**snakemake.params.audit),
    )
    write_table(snakemake.output[0], "audit_networks", table)
