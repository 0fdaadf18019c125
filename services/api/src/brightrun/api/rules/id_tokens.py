"""Tokens that the identity provider signed, by the rules of RFC 8725."""

from collections.abc import Sequence
from typing import Any

import jwt

LARGEST = 16_384
"""Characters."""

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Asymmetric ones only: what everybody can read, the provider's public key, must not be able to sign."""

TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})
"""ID tokens and the access tokens of RFC 9068, but none of the other things that are signed with the same key."""

LEEWAY_SECONDS = 30
MAX_SUBJECT_LENGTH = 255


class Untrusted(Exception):
    """The token is none of the provider's for us."""


def key_id(token: str) -> str | None:
    """Which key the token says it is signed with, if it is of a kind that is accepted at all."""
    if len(token) > LARGEST:
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


def choose(keys: Sequence[jwt.PyJWK], kid: str | None) -> jwt.PyJWK | None:
    """The key with that id. A token may do without one where there is only one key, says OpenID Connect."""
    usable = [key for key in keys if key.public_key_use in (None, "sig")]
    if kid is None:
        return usable[0] if len(usable) == 1 else None
    return next((key for key in usable if key.key_id == kid), None)


def verify(token: str, key: jwt.PyJWK, issuer: str, audience: str) -> dict[str, Any]:
    """The token's claims, if `issuer` signed it with `key` for `audience` and it is valid now."""
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
