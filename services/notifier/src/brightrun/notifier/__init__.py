"""Tells users what happened to their jobs."""
