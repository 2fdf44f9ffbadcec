"""RSA of networks and recordings: RDM files, tables, tests and fitted models."""
