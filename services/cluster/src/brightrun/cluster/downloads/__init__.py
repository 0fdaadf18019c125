"""What clients download of a run: the adapter of a completed one, and checkpoints."""
