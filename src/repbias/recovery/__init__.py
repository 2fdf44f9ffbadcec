"""Which model a recording would name: brains simulated with its noise, and planning before it."""
