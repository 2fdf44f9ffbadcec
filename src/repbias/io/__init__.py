"""Files: every HDF5 layout, every table, untrusted files, and how each output was made."""
