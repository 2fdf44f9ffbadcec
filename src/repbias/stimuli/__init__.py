"""Stimuli whose features are known and statistically controlled."""
