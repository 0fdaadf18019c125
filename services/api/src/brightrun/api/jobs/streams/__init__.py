"""Streams: a job's log and progress as server-sent events."""
