"""Bearer tokens: opaque, and known to us by their digest only."""

import hashlib
import secrets

SESSION = "brs_"
KEY = "br_"
CODE = "brc_"
"""How tokens begin: that tells what leaked, and is no secret."""


def new_token(prefix: str) -> str:
    """A token that nobody guesses."""
    return prefix + secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """What is stored of a token; it is random enough to need no salt."""
    return hashlib.sha256(token.encode()).digest()
