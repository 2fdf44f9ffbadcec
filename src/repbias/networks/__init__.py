"""Networks: ensembles trained as one, and the user's own models."""
