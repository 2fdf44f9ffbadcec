"""Stimuli: generated with known, statistically controlled features, or sets of images."""
