"""Runs from their submission to their one end."""
