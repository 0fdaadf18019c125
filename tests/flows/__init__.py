"""Flows through the whole platform, started once for all of them."""
