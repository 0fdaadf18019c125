"""Sign-ins that are under way at the identity provider.

All that a flow needs is in a cookie of the browser that began it: when, by which challenge its token is to be fetched,
and chance. State, nonce and PKCE verifier are derived from it with the gateway's secret, so nobody else can make them,
and nothing is stored.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta

LIFETIME = timedelta(minutes=10)
"""How long a sign-in may take."""

_COOKIE = re.compile(r"([0-9]{1,12})\.([A-Za-z0-9_-]{43})\.[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Flow:
    """One sign-in. `challenge` is that of the client which will fetch the token (RFC 7636, S256)."""

    cookie: str
    challenge: str
    secret: str

    @property
    def state(self) -> str:
        """Comes back from the provider: proves that this gateway sent this browser there."""
        return self._derive("state")

    @property
    def nonce(self) -> str:
        """Comes back in the ID token: proves that it was made for this sign-in."""
        return self._derive("nonce")

    @property
    def verifier(self) -> str:
        """Proves to the provider that we are who asked for the code."""
        return self._derive("verifier")

    def _derive(self, purpose: str) -> str:
        return _encode(hmac.digest(self.secret.encode(), f"oidc {purpose} {self.cookie}".encode(), "sha256"))


def begin(secret: str, challenge: str, now: datetime) -> Flow:
    """A new sign-in."""
    return Flow(f"{int(now.timestamp())}.{challenge}.{secrets.token_urlsafe(32)}", challenge, secret)


def resume(secret: str, cookie: str, state: str, now: datetime) -> Flow | None:
    """The sign-in that the browser's cookie tells of; None unless it is `state`'s, and young enough."""
    matched = _COOKIE.fullmatch(cookie)
    if matched is None or now.timestamp() - int(matched[1]) > LIFETIME.total_seconds():
        return None
    flow = Flow(cookie, matched[2], secret)
    return flow if hmac.compare_digest(flow.state.encode(), state.encode()) else None


def challenge_of(verifier: str) -> str:
    """What is told beforehand of a verifier (RFC 7636, S256)."""
    return _encode(hashlib.sha256(verifier.encode()).digest())


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
