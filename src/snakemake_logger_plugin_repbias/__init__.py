"""What ``repbias run`` prints: Snakemake finds its plugins by the names of packages."""

from repbias.pipeline.progress import LogHandler

__all__ = ["LogHandler"]
