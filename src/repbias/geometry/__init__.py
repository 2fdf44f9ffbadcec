"""Representational geometry: functions on arrays of patterns, trials and RDMs."""
