"""Measure how much of a representational similarity score is feature bias."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("repbias")
except PackageNotFoundError:  # a bare checkout put on the path, as with `snakemake --sdm conda`
    __version__ = "unknown"
