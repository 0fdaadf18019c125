"""HTTP clients of the peer services."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from functools import cache
from typing import Any
from uuid import UUID

import httpx
from pydantic_core import from_json

from brightrun.runtime.errors import ServiceError, Unavailable
from brightrun.runtime.tokens import issue
from brightrun.runtime.uploads import UploadLimits, Uploads

TIMEOUT_SECONDS = 2.0
READ_ATTEMPTS = 3
UPLOAD_TIMEOUT_SECONDS = 60.0


class PeerError(ServiceError):
    """A peer service's error, passed on with its status, code, message and Retry-After."""

    def __init__(self, status: int, body: dict[str, Any], retry_after: str | None = None) -> None:
        super().__init__(body.get("details"))
        self.status = status
        self.code = body.get("code", "refused")
        self._message = str(body.get("error", "refused"))
        if retry_after is not None:
            self.headers = {"Retry-After": retry_after}

    @property
    def message(self) -> str:
        """The peer service's message."""
        return self._message


@cache
def _tls() -> ssl.SSLContext:
    """One for all clients: to load the certificates takes 30 ms."""
    return httpx.create_ssl_context()


class ServiceClient:
    """Client of the service `name` for the service `caller`. Raises PeerError and Unavailable."""

    def __init__(self, name: str, url: str, secret: str, caller: str) -> None:
        self.name = name
        self._secret = secret
        self._caller = caller
        self.uploads = Uploads(UploadLimits())
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=20)
        self._http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS, limits=limits, verify=_tls())

    async def get(self, path: str, user_id: UUID | None = None, **params: Any) -> Any:
        """Read `data`. A read is retried when the peer service does not answer, since it changes nothing."""
        return from_json(await self.read(path, user_id, **params))["data"]

    async def read(self, path: str, user_id: UUID | None = None, **params: Any) -> bytes:
        """Read the whole response body, to be passed on as it is. Retried like `get`."""
        query = {name: value for name, value in params.items() if value is not None}
        for _ in range(READ_ATTEMPTS - 1):
            with contextlib.suppress(Unavailable):
                return await self._request("GET", path, user_id, params=query)
        return await self._request("GET", path, user_id, params=query)

    async def send(self, method: str, path: str, user_id: UUID | None = None, **request: Any) -> Any:
        """Make one request with httpx's `json`, `params` …, without retries, and return `data`."""
        return from_json(await self._request(method, path, user_id, **request))["data"]

    async def upload(self, path: str, user_id: UUID, body: AsyncIterator[bytes], **params: Any) -> Any:
        """Stream `body` at the speed of its source, within the limits of uploads, and return `data`."""
        return await self.relay(path, user_id, self.uploads.limited(user_id, body), **params)

    async def relay(self, path: str, user_id: UUID, content: AsyncIterator[bytes], **params: Any) -> Any:
        """The same for content that comes from a body within those limits."""
        return await self.send("POST", path, user_id, content=content, params=params, timeout=UPLOAD_TIMEOUT_SECONDS)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _request(self, method: str, path: str, user_id: UUID | None, **request: Any) -> bytes:
        try:
            return self._content(await self._http.request(method, path, headers=self._headers(user_id), **request))
        except httpx.TransportError as error:
            raise Unavailable(f"{self.name} does not answer") from error

    def _headers(self, user_id: UUID | None) -> dict[str, str]:
        return {"authorization": f"Bearer {issue(self._secret, self._caller, self.name, user_id)}"}

    def _content(self, response: httpx.Response) -> bytes:
        if response.status_code == Unavailable.status:
            raise Unavailable(f"{self.name} is not ready")
        if not response.is_success:
            body, retry_after = from_json(response.content), response.headers.get("retry-after")
            raise PeerError(response.status_code, body, retry_after)
        return response.content
