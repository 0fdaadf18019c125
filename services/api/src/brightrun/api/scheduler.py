"""What the scheduler tells of a job that waits. Ownership is checked before it is asked."""

from uuid import UUID

from brightrun.api.schemas.scheduling import QueuePlace
from brightrun.runtime.clients import PeerError, ServiceClient
from brightrun.runtime.errors import NotFound


async def fetch_queue_place(scheduler: ServiceClient, user_id: UUID, job_id: UUID) -> QueuePlace:
    """The job's place; a job that the scheduler has not heard of yet has none."""
    try:
        return QueuePlace.model_validate(await scheduler.get(f"/jobs/{job_id}/queue", user_id))
    except PeerError as refusal:
        if refusal.status == NotFound.status:
            return QueuePlace()
        raise
