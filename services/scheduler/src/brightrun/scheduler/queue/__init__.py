"""The queue: whose job is next, how many GPUs each user may have, and when a waiting job will start."""
