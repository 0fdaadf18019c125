"""Stored models are read again on a schedule: what is not what was stored is never served as good."""
