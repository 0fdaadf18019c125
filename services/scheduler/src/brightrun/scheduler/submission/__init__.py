"""Attempts are leased and submitted to their clusters, and the responses applied."""
