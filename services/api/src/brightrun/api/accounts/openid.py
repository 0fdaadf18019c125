"""OpenID Connect, pure: authorization requests, and ID tokens by the rules of RFC 8725.

All state of an authorization request is in a cookie of the browser that began it: its time, the challenge by which its
token is fetched, and randomness. State, nonce and PKCE verifier are derived from it with the gateway's secret, so that
nobody else can make them and nothing is stored.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt

MAX_TOKEN_LENGTH = 16_384
"""In characters."""
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Asymmetric ones only: the provider's public key must not be able to sign."""
TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})
"""ID tokens and access tokens (RFC 9068), but nothing else that is signed with the same key."""
LEEWAY_SECONDS = 30
MAX_SUBJECT_LENGTH = 255
LIFETIME = timedelta(minutes=10)
"""How long a sign-in may take."""
_COOKIE = re.compile(r"([0-9]{1,12})\.([A-Za-z0-9_-]{43})\.[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """One sign-in. `challenge` is that of the client that fetches the token (RFC 7636, S256)."""

    cookie: str
    challenge: str
    secret: str

    @property
    def state(self) -> str:
        """Returned by the provider: proves that this gateway sent this browser there."""
        return self._derive("state")

    @property
    def nonce(self) -> str:
        """Returned in the ID token: proves that it was issued for this sign-in."""
        return self._derive("nonce")

    @property
    def verifier(self) -> str:
        """Proves to the provider that this gateway requested the code."""
        return self._derive("verifier")

    def _derive(self, purpose: str) -> str:
        return _encode(hmac.digest(self.secret.encode(), f"oidc {purpose} {self.cookie}".encode(), "sha256"))


def begin_authorization(secret: str, challenge: str, now: datetime) -> AuthorizationRequest:
    """A new sign-in."""
    return AuthorizationRequest(f"{int(now.timestamp())}.{challenge}.{secrets.token_urlsafe(32)}", challenge, secret)


def resume_authorization(secret: str, cookie: str, state: str, now: datetime) -> AuthorizationRequest | None:
    """The sign-in of the browser's cookie; None unless `state` is its own and it is recent enough."""
    matched = _COOKIE.fullmatch(cookie)
    if matched is None or now.timestamp() - int(matched[1]) > LIFETIME.total_seconds():
        return None
    request = AuthorizationRequest(cookie, matched[2], secret)
    return request if hmac.compare_digest(request.state.encode(), state.encode()) else None


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636)."""
    return _encode(hashlib.sha256(verifier.encode()).digest())


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class Untrusted(Exception):
    """The token is not one that the provider issued for this gateway."""


def key_id(token: str) -> str | None:
    """The id of the key that signed the token. Raises Untrusted for types that are not accepted."""
    if len(token) > MAX_TOKEN_LENGTH:
        raise Untrusted("too long")
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise Untrusted(str(error)) from None
    if header.get("alg") not in ALGORITHMS:
        raise Untrusted("the algorithm is not accepted")
    if str(header.get("typ", "")).lower() not in TYPES:
        raise Untrusted("the type is not accepted")
    return header.get("kid")


def choose_key(keys: Sequence[jwt.PyJWK], kid: str | None) -> jwt.PyJWK | None:
    """The key with that id. OpenID Connect lets a token omit it if there is only one key."""
    usable = [key for key in keys if key.public_key_use in (None, "sig")]
    if kid is None:
        return usable[0] if len(usable) == 1 else None
    return next((key for key in usable if key.key_id == kid), None)


def verify_id_token(token: str, key: jwt.PyJWK, issuer: str, audience: str) -> dict[str, Any]:
    """The token's claims, if `issuer` signed it with `key` for `audience` and it is valid now. Raises Untrusted."""
    try:
        claims = jwt.decode(
            token,
            key,
            ALGORITHMS,
            issuer=issuer,
            audience=audience,
            leeway=LEEWAY_SECONDS,
            options={"require": ["iss", "sub", "aud", "exp"], "enforce_minimum_key_length": True},
        )
    except (jwt.PyJWTError, ValueError, OverflowError) as error:
        raise Untrusted(str(error)) from None
    if not 0 < len(claims["sub"]) <= MAX_SUBJECT_LENGTH or not claims["sub"].isprintable():
        raise Untrusted("the subject is none")
    return claims
