"""What a run delivers: the adapter, its evaluation, its model card, and inference with it."""
