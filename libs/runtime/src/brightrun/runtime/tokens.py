"""Tokens of calls between services: short-lived, signed, naming the caller, the callee and the user."""

import time
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import jwt
from fastapi import Depends, Request

from brightrun.runtime.errors import Unauthorized

LIFETIME_SECONDS = 60
ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class Caller:
    """The service that calls, on behalf of a user where `user_id` is not None."""

    service: str
    user_id: UUID | None

    @property
    def user(self) -> UUID:
        """The user of the call. Raises Unauthorized if there is none."""
        if self.user_id is None:
            raise Unauthorized("this call needs a user")
        return self.user_id


def issue(secret: str, caller: str, callee: str, user_id: UUID | None) -> str:
    """A token that lets `caller` call `callee` for `user_id`, valid for `LIFETIME_SECONDS`."""
    now = int(time.time())
    claims: dict[str, Any] = {"iss": caller, "aud": callee, "iat": now, "exp": now + LIFETIME_SECONDS}
    if user_id is not None:
        claims["sub"] = str(user_id)
    return jwt.encode(claims, secret, ALGORITHM)


def verify(secret: str, callee: str, token: str) -> Caller:
    """The sender of `token`. Raises Unauthorized unless it was signed for `callee` and is still valid."""
    try:
        claims = jwt.decode(token, secret, [ALGORITHM], audience=callee, options={"require": ["iss", "aud", "exp"]})
        return Caller(claims["iss"], UUID(claims["sub"]) if "sub" in claims else None)
    except (jwt.InvalidTokenError, ValueError) as error:
        raise Unauthorized(str(error)) from None


async def _caller(request: Request) -> Caller:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized
    return verify(request.app.state.service_secret, request.app.state.service_name, token)


CallerOf = Annotated[Caller, Depends(_caller)]
"""A route's parameter: the verified caller."""
