"""Draw test stimuli of every set of generated images."""

from repbias.pipeline.jobs import job

with job(snakemake):
    from repbias.io.stimuli import Stimuli
    from repbias.report.figures.stimuli import ImageSet, draw_stimuli

    shown = zip(snakemake.params.sets, snakemake.input, strict=True)
    draw_stimuli(
        (
            ImageSet(entry["words"], Stimuli.read(path, entry["condition"]), entry["values"])
            for entry, path in shown
        ),
        snakemake.params.left_out,
        snakemake.output.svg,
    )
