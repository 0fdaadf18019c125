"""Signed query strings that open one file of a run until they expire."""

import hashlib
import hmac
import time

from brightrun.cluster.errors import BadFileUrl


def sign(key: str, run_id: str, name: str, expires: int) -> dict[str, str]:
    """The query that opens a file of a run until `expires` (Unix seconds)."""
    return {"expires": str(expires), "signature": _digest(key, run_id, name, str(expires))}


def check(key: str, run_id: str, name: str, expires: str, signature: str) -> None:
    """Raises BadFileUrl unless the query was signed for this file and has not expired."""
    signed = hmac.compare_digest(_digest(key, run_id, name, expires).encode(), signature.encode())
    if not signed or time.time() >= int(expires):
        raise BadFileUrl


def _digest(key: str, run_id: str, name: str, expires: str) -> str:
    message = "\n".join(("file", run_id, expires, name))
    return hmac.new(key.encode(), message.encode(), hashlib.sha256).hexdigest()
