"""Deletions of data sets and models: decided in this slice, so that no job starts with them, then carried out."""
