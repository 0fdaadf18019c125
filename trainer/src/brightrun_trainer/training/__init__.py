"""The training itself, from a prepared run to its last checkpoint."""
