"""Clients of the peer services."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import httpx

from brightrun.api.settings import Settings
from brightrun.runtime.clients import UPLOAD_TIMEOUT_SECONDS, PeerError, ServiceClient
from brightrun.runtime.errors import NotFound, Unavailable

N = TypeVar("N", bound=ServiceClient)
Json = dict[str, Any]


class Artifacts(ServiceClient):
    """Client of the artifacts service, which also streams files."""

    @asynccontextmanager
    async def open(
        self, path: str, user_id: UUID, method: str = "GET", seconds: float = UPLOAD_TIMEOUT_SECONDS, **request: Any
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Stream the response's bytes; `seconds` without any end it."""
        stream = self._http.stream(method, path, headers=self._headers(user_id), timeout=seconds, **request)
        try:
            async with stream as response:
                if response.is_error:
                    await response.aread()
                    self._content(response)
                yield response.aiter_raw()
        except httpx.TransportError as error:
            raise Unavailable(f"{self.name} does not answer") from error


async def find(client: ServiceClient, user_id: UUID, path: str, **params: Any) -> Json | None:
    """What a peer service has at the path; None if nothing."""
    try:
        found: Json = await client.get(path, user_id, **params)
    except PeerError as error:
        if error.status == NotFound.status:
            return None
        raise
    return found


@dataclass(frozen=True, slots=True)
class ServiceClients:
    """One client for each peer service."""

    artifacts: Artifacts
    tracker: ServiceClient
    notifier: ServiceClient
    scheduler: ServiceClient


@asynccontextmanager
async def open_clients(settings: Settings) -> AsyncIterator[ServiceClients]:
    """Clients that are closed when the block ends."""
    secret = settings.service_secret.get_secret_value()
    async with AsyncExitStack() as stack:

        def client(name: str, url: str, kind: type[N]) -> N:
            client = kind(name, url, secret, caller="api")
            stack.push_async_callback(client.close)
            return client

        yield ServiceClients(
            artifacts=client("artifacts", settings.artifacts_url, Artifacts),
            tracker=client("tracker", settings.tracker_url, ServiceClient),
            notifier=client("notifier", settings.notifier_url, ServiceClient),
            scheduler=client("scheduler", settings.scheduler_url, ServiceClient),
        )
