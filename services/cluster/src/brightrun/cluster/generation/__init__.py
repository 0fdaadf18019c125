"""Completions by the models of completed runs."""
