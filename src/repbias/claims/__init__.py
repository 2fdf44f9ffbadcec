"""Published claims, each with the test that decides it: one module per kind of evidence."""
