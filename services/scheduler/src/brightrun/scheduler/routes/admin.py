"""What operators see and decide. Internal: the gateway lets only administrators come here."""

from typing import cast
from uuid import UUID

from fastapi import APIRouter, Request

from brightrun.runtime.database import Db, Pool, transaction
from brightrun.runtime.http import Envelope
from brightrun.runtime.tokens import CallerOf
from brightrun.scheduler.actions import sharing
from brightrun.scheduler.queries import clusters, shares
from brightrun.scheduler.schemas import ChangePriority, ClusterView, SetShare, ShareView
from brightrun.scheduler.settings import Settings

router = APIRouter(prefix="/admin")


@router.get("/clusters")
async def list_clusters(_: CallerOf, pool: Db, request: Request) -> Envelope[list[ClusterView]]:
    """Every cluster that was ever used, what it last said, and what it has of ours."""
    urls = {one.name: one.url for one in cast("Settings", request.app.state.settings).all_clusters}
    counts = await clusters.count_attempts(pool)
    states = await clusters.list_clusters(pool)
    return Envelope(data=[ClusterView.of(state, urls.get(state.name), counts.get(state.name, {})) for state in states])


@router.post("/clusters/{name}/drain")
async def drain_cluster(name: str, _: CallerOf, pool: Db) -> Envelope[str]:
    """Send the cluster no new jobs; those that it has go on."""
    async with transaction(pool) as conn:
        await sharing.set_drained(conn, name, True)
    return Envelope(data="drained")


@router.post("/clusters/{name}/undrain")
async def undrain_cluster(name: str, _: CallerOf, pool: Db) -> Envelope[str]:
    """Send the cluster jobs again."""
    async with transaction(pool) as conn:
        await sharing.set_drained(conn, name, False)
    return Envelope(data="undrained")


@router.get("/users/{user_id}/share")
async def read_share(user_id: UUID, _: CallerOf, pool: Db, request: Request) -> Envelope[ShareView]:
    """What the user may have, and has now; one who was never heard of may have what new users may."""
    return Envelope(data=await _read_share(pool, user_id, request))


@router.put("/users/{user_id}/share")
async def set_share(user_id: UUID, body: SetShare, _: CallerOf, pool: Db, request: Request) -> Envelope[ShareView]:
    """Give the user another weight or quota; running jobs go on."""
    async with transaction(pool) as conn:
        await sharing.set_share(conn, user_id, body.weight, body.quota_gpus)
    return Envelope(data=await _read_share(pool, user_id, request))


@router.put("/jobs/{job_id}/priority")
async def set_priority(job_id: UUID, body: ChangePriority, _: CallerOf, pool: Db) -> Envelope[str]:
    """Move a waiting job among its user's, or, as urgent, before everybody's."""
    async with transaction(pool) as conn:
        await sharing.set_priority(conn, job_id, body.priority)
    return Envelope(data="set")


async def _read_share(pool: Pool, user_id: UUID, request: Request) -> ShareView:
    quota = cast("Settings", request.app.state.settings).quota_gpus
    return ShareView.of(await shares.read_share(pool, user_id, quota))
