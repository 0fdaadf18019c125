"""The trainer as a process: reports, errors, stops, locks and workers."""
