"""Comparison: the curves of several jobs over one axis."""
