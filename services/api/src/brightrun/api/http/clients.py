"""Clients of the peer services."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import httpx

from brightrun.api.settings import Settings
from brightrun.contracts.scheduling import ClusterCapacity
from brightrun.contracts.webhooks import Webhook
from brightrun.runtime.clients import UPLOAD_TIMEOUT_SECONDS, PeerError, ServiceClient
from brightrun.runtime.errors import NotFound, Unavailable

N = TypeVar("N", bound=ServiceClient)
Json = dict[str, Any]
NO_POINTS = b'{"success":true,"data":{"points":[]}}'
PAGE = 100
WEBHOOK_SECONDS = 15.0
"""Longer than the notifier waits for a receiver and for DNS."""


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

    async def list_all_models(self, user_id: UUID) -> list[Json]:
        """Every model of the user's, page by page."""
        found: list[Json] = []
        page = pages = 1
        while page <= pages:
            listed = await self.get("/models", user_id, page=page, limit=PAGE)
            found += listed["models"]
            page, pages = page + 1, listed["pagination"]["totalPages"]
        return found


class Tracker(ServiceClient):
    """Client of the tracker, for callers that have checked the owner. A job that it does not know yet has no data."""

    async def list_metrics(self, user_id: UUID, job_id: UUID, **params: int | None) -> list[Json]:
        """The job's points, oldest first."""
        return await self._list(user_id, job_id, "metrics", "points", **params)

    async def read_metrics(self, user_id: UUID, job_id: UUID, **params: int | None) -> bytes:
        """The whole response with the job's points, passed on unparsed since it is large."""
        try:
            return await self.read(f"/jobs/{job_id}/metrics", user_id, **params)
        except PeerError as error:
            if error.status == NotFound.status:
                return NO_POINTS
            raise

    async def list_cost_records(self, user_id: UUID, job_id: UUID) -> list[Json]:
        """The job's cost records, oldest first."""
        return await self._list(user_id, job_id, "costs", "cost_records")

    async def list_events(self, user_id: UUID, job_id: UUID, **params: int | str | None) -> list[Json]:
        """The job's events, oldest first unless `order` is `desc`."""
        return await self._list(user_id, job_id, "events", "events", **params)

    async def list_checkpoints(self, user_id: UUID, job_id: UUID, **params: int | str | None) -> list[Json]:
        """The job's checkpoints with their metrics, newest first."""
        return await self._list(user_id, job_id, "checkpoints", "checkpoints", **params)

    async def _list(self, user_id: UUID, job_id: UUID, part: str, field: str, **params: int | str | None) -> list[Json]:
        found = await find(self, user_id, f"/jobs/{job_id}/{part}", **params)
        return found[field] if found else []


class Notifier(ServiceClient):
    """Client of the notifier, which owns webhooks."""

    async def list_webhooks(self, user_id: UUID) -> list[Webhook]:
        """The user's webhooks, newest first; there are few."""
        found = await self.get("/webhooks", user_id)
        return [Webhook.model_validate(webhook) for webhook in found["webhooks"]]

    async def change_webhook(self, method: str, path: str, user_id: UUID, body: Json | None = None) -> Any:
        """Change or test the user's webhooks; a test lasts as long as its receiver."""
        return await self.send(method, f"/webhooks{path}", user_id, json=body, timeout=WEBHOOK_SECONDS)


async def find(client: ServiceClient, user_id: UUID, path: str, **params: Any) -> Json | None:
    """What a peer service has at the path; None if nothing."""
    try:
        found: Json = await client.get(path, user_id, **params)
    except PeerError as error:
        if error.status == NotFound.status:
            return None
        raise
    return found


class ClusterReports:
    """What the configured clusters can run, by the scheduler's last answer; `clusters` None before the first."""

    def __init__(self, scheduler: ServiceClient) -> None:
        self.clusters: list[ClusterCapacity] | None = None
        self._scheduler = scheduler

    async def refresh(self) -> bool:
        """Ask the scheduler; False: never more to do at once."""
        with suppress(PeerError, Unavailable):
            self.clusters = [
                ClusterCapacity.model_validate(cluster) for cluster in await self._scheduler.get("/clusters")
            ]
        return False


@dataclass(frozen=True, slots=True)
class ServiceClients:
    """One client for each peer service."""

    artifacts: Artifacts
    tracker: Tracker
    notifier: Notifier
    scheduler: ServiceClient
    cluster_reports: ClusterReports


@asynccontextmanager
async def open_clients(settings: Settings) -> AsyncIterator[ServiceClients]:
    """Clients that are closed when the block ends."""
    secret = settings.service_secret.get_secret_value()
    async with AsyncExitStack() as stack:

        def client(name: str, url: str, kind: type[N]) -> N:
            client = kind(name, url, secret, caller="api")
            stack.push_async_callback(client.close)
            return client

        scheduler = client("scheduler", settings.scheduler_url, ServiceClient)
        yield ServiceClients(
            artifacts=client("artifacts", settings.artifacts_url, Artifacts),
            tracker=client("tracker", settings.tracker_url, Tracker),
            notifier=client("notifier", settings.notifier_url, Notifier),
            scheduler=scheduler,
            cluster_reports=ClusterReports(scheduler),
        )
