"""All SQL of the tracker's slice."""
