"""The tracker's data of a job: metrics, cost records, events, checkpoints.

A job that the tracker does not know yet has none. Callers check the owner first.
"""

from typing import Any
from uuid import UUID

from brightrun.api.http.clients import find
from brightrun.runtime.clients import PeerError, ServiceClient
from brightrun.runtime.errors import NotFound

NO_POINTS = b'{"success":true,"data":{"points":[]}}'


async def fetch_metrics(
    tracker: ServiceClient, user_id: UUID, job_id: UUID, **params: int | None
) -> list[dict[str, Any]]:
    """The job's points, oldest first."""
    return await _fetch(tracker, user_id, f"/jobs/{job_id}/metrics", "points", **params)


async def fetch_metrics_response(tracker: ServiceClient, user_id: UUID, job_id: UUID, **params: int | None) -> bytes:
    """The whole response with the job's points, passed on unparsed since it is large."""
    try:
        return await tracker.read(f"/jobs/{job_id}/metrics", user_id, **params)
    except PeerError as error:
        if error.status == NotFound.status:
            return NO_POINTS
        raise


async def fetch_cost_records(tracker: ServiceClient, user_id: UUID, job_id: UUID) -> list[dict[str, Any]]:
    """The job's cost records, oldest first."""
    return await _fetch(tracker, user_id, f"/jobs/{job_id}/costs", "cost_records")


async def fetch_events(
    tracker: ServiceClient, user_id: UUID, job_id: UUID, **params: int | str | None
) -> list[dict[str, Any]]:
    """The job's events, oldest first unless `order` is `desc`."""
    return await _fetch(tracker, user_id, f"/jobs/{job_id}/events", "events", **params)


async def fetch_checkpoints(
    tracker: ServiceClient, user_id: UUID, job_id: UUID, **params: int | str | None
) -> list[dict[str, Any]]:
    """The job's checkpoints with their metrics, newest first."""
    return await _fetch(tracker, user_id, f"/jobs/{job_id}/checkpoints", "checkpoints", **params)


async def _fetch(
    tracker: ServiceClient, user_id: UUID, path: str, field: str, **params: int | str | None
) -> list[dict[str, Any]]:
    found = await find(tracker, user_id, path, **params)
    return found[field] if found else []
