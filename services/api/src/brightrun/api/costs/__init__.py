"""Costs of a period, from the tracker's ledger."""
