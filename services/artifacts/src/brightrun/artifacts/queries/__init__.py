"""All SQL of the artifacts service."""
