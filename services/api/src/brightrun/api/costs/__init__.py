"""Costs: the tracker owns the ledger; here they are grouped, compared with estimates, and exported."""
