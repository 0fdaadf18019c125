"""SQL of the queue."""
