"""Bearer tokens: opaque, and known to us by their digest only."""

import hashlib


def digest(token: str) -> bytes:
    """What is stored of a token; it is random enough to need no salt."""
    return hashlib.sha256(token.encode()).digest()
