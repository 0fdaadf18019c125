"""A platform under faults, and an auditor that compares everything it has recorded."""
