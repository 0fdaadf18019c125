"""Who gets GPUs, as the installation's admins decide it: passed on to the scheduler, which owns it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path

from brightrun.api.errors import AdminOnly
from brightrun.api.queries import users
from brightrun.api.routes.bounded import BoundedRoute
from brightrun.api.routes.parameters import Admin, Others
from brightrun.api.routes.refusals import refuses
from brightrun.api.schemas.scheduling import ChangePriority, Cluster, Clusters, SetShare, Share
from brightrun.runtime.database import Db, Pool
from brightrun.runtime.errors import NotFound
from brightrun.runtime.http import Envelope

router = APIRouter(prefix="/admin", tags=["administration"], route_class=BoundedRoute, responses=refuses(AdminOnly))

# Not dots alone, which mean another place in the scheduler's paths.
ClusterName = Annotated[
    str, Path(max_length=64, pattern=r"^[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$", examples=["local"])
]


@router.get("/clusters", summary="All clusters")
async def list_clusters(admin: Admin, others: Others) -> Envelope[Clusters]:
    """What each last said of itself, and what it has to do for this installation."""
    told = await others.scheduler.get("/admin/clusters", admin.id)
    return Envelope(data=Clusters(clusters=[Cluster.model_validate(cluster) for cluster in told]))


@router.post("/clusters/{name}/drain", summary="Send a cluster no new jobs")
async def drain_cluster(name: ClusterName, admin: Admin, others: Others) -> Envelope[None]:
    """Those that it has go on."""
    await others.scheduler.send("POST", f"/admin/clusters/{name}/drain", admin.id)
    return Envelope(data=None)


@router.post("/clusters/{name}/undrain", summary="Send a drained cluster jobs again")
async def undrain_cluster(name: ClusterName, admin: Admin, others: Others) -> Envelope[None]:
    """It takes part from the next decision on."""
    await others.scheduler.send("POST", f"/admin/clusters/{name}/undrain", admin.id)
    return Envelope(data=None)


@router.get("/users/{user_id}/share", summary="A user's share of the GPUs")
async def get_share(user_id: UUID, admin: Admin, pool: Db, others: Others) -> Envelope[Share]:
    """What the user may have, and has now."""
    await _require_user(pool, user_id)
    return Envelope(data=Share.model_validate(await others.scheduler.get(f"/admin/users/{user_id}/share", admin.id)))


@router.put("/users/{user_id}/share", summary="Give a user another share of the GPUs")
async def set_share(user_id: UUID, body: SetShare, admin: Admin, pool: Db, others: Others) -> Envelope[Share]:
    """It holds from the next decision on; running jobs go on."""
    await _require_user(pool, user_id)
    path, share = f"/admin/users/{user_id}/share", body.model_dump(mode="json")
    return Envelope(data=Share.model_validate(await others.scheduler.send("PUT", path, admin.id, json=share)))


@router.put("/jobs/{job_id}/priority", summary="Move a job that waits")
async def set_priority(job_id: UUID, body: ChangePriority, admin: Admin, others: Others) -> Envelope[None]:
    """Among its user's jobs, or, as urgent, before everybody's. A job that does not wait is not found."""
    path = f"/admin/jobs/{job_id}/priority"
    await others.scheduler.send("PUT", path, admin.id, json=body.model_dump(mode="json"))
    return Envelope(data=None)


async def _require_user(pool: Pool, user_id: UUID) -> None:
    if not await users.has_user(pool, user_id):
        raise NotFound
