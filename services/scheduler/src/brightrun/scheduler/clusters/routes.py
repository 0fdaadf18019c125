"""Clusters as operators see them, and what they can run, for submissions.

Internal: the api lets only administrators in to /admin.
"""

from typing import cast

from fastapi import APIRouter, Request

from brightrun.contracts.scheduling import Cluster, ClusterCapacity
from brightrun.runtime.database import Db, transaction
from brightrun.runtime.http import Envelope
from brightrun.runtime.tokens import CallerOf
from brightrun.scheduler.clusters import actions, queries
from brightrun.scheduler.clusters.rules import MAX_SILENCE, capacity_of
from brightrun.scheduler.settings import Settings

router = APIRouter()


@router.get("/clusters")
async def list_capacity(_: CallerOf, pool: Db, request: Request) -> Envelope[list[ClusterCapacity]]:
    """What each configured cluster can run, by its last report."""
    names = [cluster.name for cluster in cast("Settings", request.app.state.settings).all_clusters]
    return Envelope(data=[capacity_of(report) for report in await queries.read_reports(pool, names, MAX_SILENCE)])


@router.get("/admin/clusters")
async def list_clusters(_: CallerOf, pool: Db, request: Request) -> Envelope[list[Cluster]]:
    """Every cluster that was ever used, what it last reported, and its attempts."""
    settings = cast("Settings", request.app.state.settings)
    urls = {cluster.name: cluster.url for cluster in settings.all_clusters}
    return Envelope(data=await queries.list_clusters(pool, urls))


@router.post("/admin/clusters/{name}/drain")
async def drain_cluster(name: str, _: CallerOf, pool: Db) -> Envelope[str]:
    """Send the cluster no new jobs; those that it has go on."""
    async with transaction(pool) as conn:
        await actions.set_drained(conn, name, True)
    return Envelope(data="drained")


@router.post("/admin/clusters/{name}/undrain")
async def undrain_cluster(name: str, _: CallerOf, pool: Db) -> Envelope[str]:
    """Send the cluster jobs again."""
    async with transaction(pool) as conn:
        await actions.set_drained(conn, name, False)
    return Envelope(data="undrained")
