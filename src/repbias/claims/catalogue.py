"""Every claim, by its name in the configuration; a module that has claims is imported here."""

from repbias.claims import codes, order, similarity, use, variance
from repbias.claims.evidence import CLAIMS

__all__ = ["CLAIMS", "codes", "order", "similarity", "use", "variance"]
