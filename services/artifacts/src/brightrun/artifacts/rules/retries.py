"""When a failed transfer is tried again."""

from datetime import timedelta

MAX_PAUSE = timedelta(minutes=10)


def pause_after(tries: int, first: timedelta) -> timedelta:
    """How long to wait after the `tries`-th try failed: `first`, then twice as long each time, 10 minutes at most."""
    return min(first * (1 << min(tries - 1, 20)), MAX_PAUSE)
