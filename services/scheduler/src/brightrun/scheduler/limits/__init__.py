"""A job's own limits, `max_cost` and `max_duration`, and what of it is billed."""
