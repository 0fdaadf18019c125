"""Decisions about the queue."""
