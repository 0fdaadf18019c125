"""Calls between services: short-lived signed tokens that name the caller, the callee and the user."""

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import httpx
import jwt
from fastapi import Depends, Request
from pydantic_core import from_json

from brightrun.runtime.errors import ServiceError, Unauthorized, Unavailable

LIFETIME_SECONDS = 60
ALGORITHM = "HS256"
BUDGET_SECONDS = 2.0
READ_ATTEMPTS = 3
UPLOAD_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a service, on behalf of a user where `user_id` is not None."""

    service: str
    user_id: UUID | None

    @property
    def user(self) -> UUID:
        """The user asked for; a call without one is refused."""
        if self.user_id is None:
            raise Unauthorized("this call needs a user")
        return self.user_id


def issue(secret: str, caller: str, callee: str, user_id: UUID | None) -> str:
    """A token that lets `caller` ask `callee` something for `user_id` within the next minute."""
    now = int(time.time())
    claims: dict[str, Any] = {"iss": caller, "aud": callee, "iat": now, "exp": now + LIFETIME_SECONDS}
    if user_id is not None:
        claims["sub"] = str(user_id)
    return jwt.encode(claims, secret, ALGORITHM)


def verify(secret: str, callee: str, token: str) -> Caller:
    """Who sent `token`, if it was signed for `callee` and is still valid."""
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
"""A route's parameter: the verified service that calls, and for whom."""


class ServiceClient:
    """Another service, asked over HTTP. Its refusals are passed on; its silence is `Unavailable`."""

    def __init__(self, name: str, url: str, secret: str, me: str) -> None:
        self.name = name
        self._secret = secret
        self._me = me
        self._http = httpx.AsyncClient(
            base_url=url, timeout=BUDGET_SECONDS, limits=httpx.Limits(max_connections=100, max_keepalive_connections=20)
        )

    async def get(self, path: str, user_id: UUID | None = None, **params: Any) -> Any:
        """Read `data`; tried again when the peer service does not answer, since a read changes nothing."""
        return from_json(await self.read(path, user_id, **params))["data"]

    async def read(self, path: str, user_id: UUID | None = None, **params: Any) -> bytes:
        """The same as the whole answer, as it was sent: to be passed on."""
        given = {name: value for name, value in params.items() if value is not None}
        for _ in range(READ_ATTEMPTS - 1):
            with contextlib.suppress(Unavailable):
                return await self._ask("GET", path, user_id, params=given)
        return await self._ask("GET", path, user_id, params=given)

    async def send(self, method: str, path: str, user_id: UUID | None = None, **request: Any) -> Any:
        """Ask for a change once, with httpx's `json`, `params` …, and return `data`."""
        return from_json(await self._ask(method, path, user_id, **request))["data"]

    async def upload(self, path: str, user_id: UUID, body: AsyncIterator[bytes], **params: Any) -> Any:
        """Stream `body` on, as slowly as it comes, and return `data`."""
        return await self.send("POST", path, user_id, content=body, params=params, timeout=UPLOAD_SECONDS)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _headers(self, user_id: UUID | None) -> dict[str, str]:
        return {"authorization": f"Bearer {issue(self._secret, self._me, self.name, user_id)}"}

    async def _ask(self, method: str, path: str, user_id: UUID | None, **request: Any) -> bytes:
        try:
            return self._content(await self._http.request(method, path, headers=self._headers(user_id), **request))
        except httpx.TransportError as error:
            raise Unavailable(f"{self.name} does not answer") from error

    def _content(self, answer: httpx.Response) -> bytes:
        if answer.status_code == Unavailable.status:
            raise Unavailable(f"{self.name} is not ready")
        if not answer.is_success:
            raise PeerError(answer.status_code, from_json(answer.content))
        return answer.content


class PeerError(ServiceError):
    """A peer service's own refusal, passed on with its status, code and words."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(body.get("details"))
        self.status = status
        self.code = body.get("code", "refused")
        self._message = str(body.get("error", "refused"))

    @property
    def message(self) -> str:
        """The peer service's sentence."""
        return self._message
