"""Published claims, each with the test that decides it: one module per kind of evidence."""

from repbias.claims import codes, similarity, use, variance
from repbias.claims.evidence import CLAIMS

__all__ = ["CLAIMS", "codes", "similarity", "use", "variance"]
