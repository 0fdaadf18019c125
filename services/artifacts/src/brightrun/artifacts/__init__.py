"""Data sets in, models out, both in the object store."""
