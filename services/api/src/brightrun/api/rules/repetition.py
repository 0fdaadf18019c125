"""When a request that comes again gets the first one's answer."""

import hashlib
from datetime import timedelta

KEY_LIFETIME = timedelta(hours=24)
REPETITION_WINDOW = timedelta(minutes=10)
"""How long after a job a client without keys may still ask for it again."""


def digest(*asked: str) -> bytes:
    """What is stored of all that was asked: the operation, what it is done to, the body."""
    return hashlib.sha256("\n".join(asked).encode()).digest()
