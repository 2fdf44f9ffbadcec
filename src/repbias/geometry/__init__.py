"""Representational geometry: RDMs, their comparison, intervals and noise ceilings."""
