"""Encoding models: ridge regression from a layer to every unit of a recording."""
