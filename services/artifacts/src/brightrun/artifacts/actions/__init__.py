"""What the artifacts service does to its slice; callers open and end the transaction."""
