"""Base models that are built on this machine, without a network."""
