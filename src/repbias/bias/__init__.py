"""How much of a representation each feature takes."""
