"""Clusters as operators see them. Internal: the api lets only administrators in."""

from collections.abc import Mapping
from typing import cast

from fastapi import APIRouter, Request

from brightrun.contracts.scheduling import Cluster, GpuPool
from brightrun.runtime.database import Db, transaction
from brightrun.runtime.http import Envelope
from brightrun.runtime.tokens import CallerOf
from brightrun.scheduler.clusters import actions, queries
from brightrun.scheduler.clusters.models import ClusterState
from brightrun.scheduler.settings import Settings
from brightrun.scheduler.states import AttemptState

router = APIRouter(prefix="/admin/clusters")


@router.get("")
async def list_clusters(_: CallerOf, pool: Db, request: Request) -> Envelope[list[Cluster]]:
    """Every cluster that was ever used, what it last reported, and its attempts."""
    settings = cast("Settings", request.app.state.settings)
    urls = {cluster.name: cluster.url for cluster in settings.all_clusters}
    counts = await queries.count_attempts(pool)
    states = await queries.list_clusters(pool)
    return Envelope(data=[_view(state, urls.get(state.name), counts.get(state.name, {})) for state in states])


@router.post("/{name}/drain")
async def drain_cluster(name: str, _: CallerOf, pool: Db) -> Envelope[str]:
    """Send the cluster no new jobs; those that it has go on."""
    async with transaction(pool) as conn:
        await actions.set_drained(conn, name, True)
    return Envelope(data="drained")


@router.post("/{name}/undrain")
async def undrain_cluster(name: str, _: CallerOf, pool: Db) -> Envelope[str]:
    """Send the cluster jobs again."""
    async with transaction(pool) as conn:
        await actions.set_drained(conn, name, False)
    return Envelope(data="undrained")


def _view(state: ClusterState, url: str | None, attempts: Mapping[str, int]) -> Cluster:
    return Cluster(
        name=state.name,
        url=url,
        executor=state.capabilities.executor if state.capabilities else None,
        simulated=bool(state.capabilities and state.capabilities.simulated),
        gpus=[
            GpuPool(types=sorted(pool.types) if pool.types is not None else None, total=pool.total, free=pool.free)
            for pool in state.pools or ()
        ],
        answered_at=state.answered_at,
        problem=state.problem,
        drained_at=state.drained_at,
        submitting=attempts.get(AttemptState.SUBMITTING, 0),
        running=attempts.get(AttemptState.LIVE, 0),
    )
