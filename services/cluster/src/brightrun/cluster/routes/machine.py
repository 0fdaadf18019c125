"""What the cluster is, and how much of it is free."""

import asyncio
from importlib.metadata import version

from fastapi import APIRouter
from prometheus_client import Gauge

from brightrun.cluster import admission, queries
from brightrun.cluster.executor import Unreachable
from brightrun.cluster.local import models_in
from brightrun.cluster.models import Hardware
from brightrun.cluster.routes.parameters import Cluster, ClusterOf
from brightrun.contracts.cluster_api import Capabilities, Capacity

router = APIRouter()
open_router = APIRouter()

GPUS = Gauge("brightrun_cluster_gpus", "GPUs by type: in all, and free for runs.", ["type", "count"])


@router.get("/capabilities")
async def read_capabilities(cluster: ClusterOf) -> Capabilities:
    """What this cluster is and can do."""
    executor, models = cluster.executor, cluster.settings.models
    found = await asyncio.to_thread(models_in, models) if models and not executor.simulated else ()
    return Capabilities(
        name=cluster.settings.cluster_name,
        version=version("brightrun-cluster"),
        executor=executor.name,
        simulated=executor.simulated,
        gpu_types=executor.gpu_types,
        base_models=found,
        idempotent_submit=True,
        events=True,
        graceful_stop=True,
        logs=True,
        log_follow=True,
        stop_modes=("checkpoint", "finish"),
        resume=True,
        checkpoints=True,
        runs=True,
        capacity=True,
        generation=cluster.facilities.generators.possible,
        inputs=True,
    )


@router.get("/capacity")
async def read_capacity(cluster: ClusterOf) -> Capacity:
    """GPUs in all, and free ones; none is free while the machine is short of something or does not answer."""
    taken = await cluster.store.read(queries.count_leases)
    reason = admission.closed(await cluster.room(), cluster.settings.limits())
    capacity = admission.capacity(await _hardware(cluster), taken, reason)
    for gpu in capacity.gpus:
        GPUS.labels(gpu.type, "total").set(gpu.total)
        GPUS.labels(gpu.type, "free").set(gpu.free)
    return capacity


async def _hardware(cluster: Cluster) -> Hardware:
    try:
        return await cluster.executor.hardware()
    except Unreachable:
        return Hardware(dict.fromkeys(cluster.executor.gpu_types, 0), None, cluster.executor.simulated)


@open_router.get("/ready", include_in_schema=False)
async def ready(cluster: ClusterOf) -> dict[str, bool]:
    """Whether the database answers."""
    await cluster.store.read(queries.newest_cursor)
    return {"success": True}
