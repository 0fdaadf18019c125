"""Metrics, the event log, and the cost ledger."""
