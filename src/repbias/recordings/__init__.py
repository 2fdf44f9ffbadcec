"""Neural recordings, real and simulated, in one canonical form."""
