"""Recordings of brains, real and simulated, in one canonical form."""
