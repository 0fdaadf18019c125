"""The client of the public API, with a visitor's bearer token."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
from fastapi import Depends, Request

from brightrun.runtime.clients import PeerError
from brightrun.runtime.errors import Unauthorized, Unavailable

TIMEOUT = httpx.Timeout(10.0)
COPY_TIMEOUT = httpx.Timeout(40.0)
"""Longer than the API waits for the copy of a checkpoint."""
UPLOAD_TIMEOUT = httpx.Timeout(60.0)


class Api:
    """Returns the `data` of responses. Raises PeerError for errors, and Unauthorized for an unknown token."""

    def __init__(self, http: httpx.AsyncClient, token: str | None, headers: dict[str, str]) -> None:
        self._http = http
        self._headers = headers | ({"Authorization": f"Bearer {token}"} if token else {})

    async def get(self, path: str, **params: Any) -> Any:
        """Read what lies at `path`."""
        return await self._request("GET", path, params=params)

    async def find(self, path: str, **params: Any) -> Any | None:
        """The same, but None while that part of the platform is unavailable."""
        try:
            return await self.get(path, **params)
        except Unavailable:
            return None

    async def send(self, method: str, path: str, json: Any = None, read_timeout: httpx.Timeout = TIMEOUT) -> Any:
        """Request a change."""
        return await self._request(method, path, json=json, timeout=read_timeout)

    async def upload(self, name: str, body: AsyncIterator[bytes]) -> Any:
        """Stream a data set on, as slowly as it comes."""
        return await self._request("POST", "/api/datasets", params={"name": name}, content=body, timeout=UPLOAD_TIMEOUT)

    async def _request(self, method: str, path: str, **options: Any) -> Any:
        try:
            response = await self._http.request(method, path, headers=self._headers, **options)
            body = response.json()
        except (httpx.TransportError, ValueError) as error:
            raise Unavailable from error
        if response.is_success:
            return body["data"]
        if response.status_code == Unavailable.status:
            raise Unavailable
        if body.get("code") == Unauthorized.code:
            raise Unauthorized
        raise PeerError(response.status_code, body)


async def _visitor(request: Request) -> Api:
    return Api(request.app.state.http, request.session.get("token"), _forwarded_headers(request))


Visitor = Annotated[Api, Depends(_visitor)]
"""A route's parameter: the API for a visitor, signed in or not."""


def _forwarded_headers(request: Request) -> dict[str, str]:
    """The visitor's address and browser: the API limits sign-in attempts by address, and lists sessions."""
    addresses = [*request.headers.getlist("X-Forwarded-For"), request.client.host if request.client else ""]
    headers = {"X-Forwarded-For": ", ".join(addresses), "User-Agent": request.headers.get("User-Agent", "")}
    return {name: value.encode("ascii", "ignore").decode() for name, value in headers.items()}


async def _signed_in(request: Request) -> Api:
    if "token" not in request.session:
        raise Unauthorized
    return await _visitor(request)


SignedIn = Annotated[Api, Depends(_signed_in)]
"""A route's parameter: the API for a signed-in visitor; others are redirected to the sign-in page."""
