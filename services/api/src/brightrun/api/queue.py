"""Queue positions and the scheduler's administration: clusters, shares, priorities."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import BaseModel

from brightrun.api.accounts import user_queries as users
from brightrun.api.accounts.actions import recorded_change
from brightrun.api.accounts.authentication import Admin, Reader
from brightrun.api.errors import AdminOnly
from brightrun.api.http.bodies import Body, example
from brightrun.api.http.clients import find
from brightrun.api.http.error_responses import error_responses
from brightrun.api.http.parameters import Clients
from brightrun.api.jobs.actions import get_job
from brightrun.contracts import scheduling
from brightrun.contracts.scheduling import QueuePosition, Share
from brightrun.runtime.database import Db, Pool
from brightrun.runtime.errors import NotFound
from brightrun.runtime.http import BoundedRoute, Envelope


class Clusters(BaseModel):
    """Every cluster that was ever used."""

    clusters: list[scheduling.Cluster]


class SetShare(scheduling.SetShare, Body):
    """A user's share of the GPUs; omitted fields get the defaults of new users.

    `weight`: twice the weight gets twice the GPU time while both users have jobs waiting. Without `quota_gpus` the
    installation's quota holds.
    """

    model_config = example({"weight": 2, "quota_gpus": 8})


class ChangePriority(scheduling.ChangePriority, Body):
    """`low`, `normal` and `high` order a user's own jobs; `urgent` goes before everybody's."""

    model_config = example({"priority": "urgent"})


admin = APIRouter(
    prefix="/admin", tags=["administration"], route_class=BoundedRoute, responses=error_responses(AdminOnly)
)
positions = APIRouter(prefix="/jobs", tags=["jobs"], route_class=BoundedRoute)
# Not only dots: they would change the path on the scheduler.
ClusterName = Annotated[
    str, Path(max_length=64, pattern=r"^[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$", examples=["local"])
]


@admin.get("/clusters", summary="All clusters")
async def list_clusters(admin: Admin, clients: Clients) -> Envelope[Clusters]:
    """With their last reported state and the jobs that they have."""
    states = await clients.scheduler.get("/admin/clusters", admin.id)
    return Envelope(data=Clusters(clusters=states))


@admin.post("/clusters/{name}/drain", summary="Send a cluster no new jobs")
async def drain_cluster(name: ClusterName, admin: Admin, pool: Db, clients: Clients) -> Envelope[None]:
    """Its jobs continue."""
    async with recorded_change(pool, admin, "cluster.drain", name):
        await clients.scheduler.send("POST", f"/admin/clusters/{name}/drain", admin.id)
    return Envelope(data=None)


@admin.post("/clusters/{name}/undrain", summary="Send a drained cluster jobs again")
async def undrain_cluster(name: ClusterName, admin: Admin, pool: Db, clients: Clients) -> Envelope[None]:
    """From the next scheduling decision on."""
    async with recorded_change(pool, admin, "cluster.undrain", name):
        await clients.scheduler.send("POST", f"/admin/clusters/{name}/undrain", admin.id)
    return Envelope(data=None)


@admin.get("/users/{user_id}/share", summary="A user's share of the GPUs")
async def get_share(user_id: UUID, admin: Admin, pool: Db, clients: Clients) -> Envelope[Share]:
    """The user's share and the GPUs in use."""
    await _require_user(pool, user_id)
    return Envelope(data=Share.model_validate(await clients.scheduler.get(f"/admin/users/{user_id}/share", admin.id)))


@admin.put("/users/{user_id}/share", summary="Give a user another share of the GPUs")
async def set_share(user_id: UUID, body: SetShare, admin: Admin, pool: Db, clients: Clients) -> Envelope[Share]:
    """From the next scheduling decision on; running jobs continue."""
    await _require_user(pool, user_id)
    path, share = f"/admin/users/{user_id}/share", body.model_dump(mode="json")
    async with recorded_change(pool, admin, "user.share", user_id, **share):
        changed = await clients.scheduler.send("PUT", path, admin.id, json=share)
    return Envelope(data=Share.model_validate(changed))


@admin.put("/jobs/{job_id}/priority", summary="Move a job that waits")
async def set_priority(job_id: UUID, body: ChangePriority, admin: Admin, pool: Db, clients: Clients) -> Envelope[None]:
    """Orders the user's own jobs; `urgent` precedes the jobs of all users. Only waiting jobs are found."""
    path = f"/admin/jobs/{job_id}/priority"
    priority = body.model_dump(mode="json")
    async with recorded_change(pool, admin, "job.priority", job_id, **priority):
        await clients.scheduler.send("PUT", path, admin.id, json=priority)
    return Envelope(data=None)


async def _require_user(pool: Pool, user_id: UUID) -> None:
    if not await users.has_user(pool, user_id):
        raise NotFound


@positions.get("/{job_id}/queue", summary="A job's position in the queue")
async def get_queue_place(job_id: UUID, user: Reader, pool: Db, clients: Clients) -> Envelope[QueuePosition]:
    """And its expected start; all fields are null if the job does not wait, or is not known to the scheduler yet."""
    await get_job(pool, user.id, job_id)
    position = await find(clients.scheduler, user.id, f"/jobs/{job_id}/queue")
    return Envelope(data=QueuePosition.model_validate(position or {}))
