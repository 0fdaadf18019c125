"""What the tracker tells of a job: its curve, its ledger, its history.

A job that the tracker has not heard of yet has none of them. Ownership is checked before it is asked.
"""

from typing import Any
from uuid import UUID

from brightrun.runtime.clients import PeerError, ServiceClient
from brightrun.runtime.errors import NotFound

NO_POINTS = b'{"success":true,"data":{"points":[]}}'


async def fetch_metrics(
    tracker: ServiceClient, user_id: UUID, job_id: UUID, **params: int | None
) -> list[dict[str, Any]]:
    """The job's points, oldest first."""
    return await _fetch(tracker, user_id, f"/jobs/{job_id}/metrics", "points", **params)


async def fetch_metrics_answer(tracker: ServiceClient, user_id: UUID, job_id: UUID, **params: int | None) -> bytes:
    """The whole answer with the job's points, to be passed on: they are many, and nothing about them changes."""
    try:
        return await tracker.read(f"/jobs/{job_id}/metrics", user_id, **params)
    except PeerError as error:
        if error.status == NotFound.status:
            return NO_POINTS
        raise


async def fetch_cost_records(tracker: ServiceClient, user_id: UUID, job_id: UUID) -> list[dict[str, Any]]:
    """The job's lines of the ledger, oldest first."""
    return await _fetch(tracker, user_id, f"/jobs/{job_id}/costs", "cost_records")


async def fetch_events(
    tracker: ServiceClient, user_id: UUID, job_id: UUID, **params: int | str | None
) -> list[dict[str, Any]]:
    """What happened to the job; oldest first, unless the params say otherwise."""
    return await _fetch(tracker, user_id, f"/jobs/{job_id}/events", "events", **params)


async def fetch_checkpoints(
    tracker: ServiceClient, user_id: UUID, job_id: UUID, **params: int | str | None
) -> list[dict[str, Any]]:
    """The states of the job that were saved, with what was measured at each, newest first."""
    return await _fetch(tracker, user_id, f"/jobs/{job_id}/checkpoints", "checkpoints", **params)


async def _fetch(
    tracker: ServiceClient, user_id: UUID, path: str, things: str, **params: int | str | None
) -> list[dict[str, Any]]:
    try:
        told: list[dict[str, Any]] = (await tracker.get(path, user_id, **params))[things]
    except PeerError as error:
        if error.status == NotFound.status:
            return []
        raise
    return told
