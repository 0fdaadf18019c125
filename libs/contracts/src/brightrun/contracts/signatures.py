"""HMAC signatures with a timestamp, for callbacks that cross a network between organisations."""

import hashlib
import hmac
import time

TOLERANCE_SECONDS = 300
MAX_TIMESTAMP_LENGTH = 12
TIMESTAMP_HEADER = "x-brightrun-timestamp"
SIGNATURE_HEADER = "x-brightrun-signature"


def sign(secret: str, body: bytes, timestamp: int | None = None) -> dict[str, str]:
    """The two headers that prove `body` was sent by a holder of `secret`, now (Unix seconds)."""
    moment = str(int(time.time()) if timestamp is None else timestamp)
    return {TIMESTAMP_HEADER: moment, SIGNATURE_HEADER: _digest(secret, moment, body)}


def valid(secret: str, body: bytes, timestamp: str, signature: str) -> bool:
    """Whether the signature fits and is at most five minutes from now, in either direction."""
    digits = timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= MAX_TIMESTAMP_LENGTH
    if not digits or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    return hmac.compare_digest(_digest(secret, timestamp, body).encode(), signature.encode())


def _digest(secret: str, timestamp: str, body: bytes) -> str:
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
