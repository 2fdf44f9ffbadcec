"""Write the configuration with every default filled in."""

from repbias.pipeline.jobs import job

with job(snakemake):
    import json

    import yaml

    from repbias.io.files import atomic

    with atomic(snakemake.output[0]) as path:
        path.write_text(yaml.safe_dump(json.loads(snakemake.params.study), sort_keys=False))
