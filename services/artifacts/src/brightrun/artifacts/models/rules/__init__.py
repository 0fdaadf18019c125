"""Decisions about a model and its files."""
