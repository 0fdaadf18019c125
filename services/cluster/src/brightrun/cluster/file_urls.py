"""Query strings that open one file for a while to whoever has them."""

import hashlib
import hmac
import time


def sign(key: str, run_id: str, name: str, expires: int) -> dict[str, str]:
    """The query that opens a file of a run until `expires` (Unix seconds)."""
    return {"expires": str(expires), "signature": _digest(key, run_id, name, str(expires))}


def valid(key: str, run_id: str, name: str, expires: str, signature: str) -> bool:
    """Whether the query was signed for this file and has not expired."""
    if not hmac.compare_digest(_digest(key, run_id, name, expires).encode(), signature.encode()):
        return False
    return time.time() < int(expires)


def _digest(key: str, run_id: str, name: str, expires: str) -> str:
    message = "\n".join(("file", run_id, expires, name))
    return hmac.new(key.encode(), message.encode(), hashlib.sha256).hexdigest()
