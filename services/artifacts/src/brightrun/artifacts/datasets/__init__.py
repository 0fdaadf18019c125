"""Data sets: uploaded, validated, listed, deleted."""
