"""The cluster API: the routes of all subjects behind the cluster's key, and what the cluster is."""

import asyncio
from importlib.metadata import version

from fastapi import APIRouter, Depends

import brightrun.cluster.downloads.routes as downloads
import brightrun.cluster.generation.routes as generation
import brightrun.cluster.logs.routes as logs
import brightrun.cluster.runs.routes as runs
from brightrun.cluster.executors.trainer import base_models_in
from brightrun.cluster.generation.routes import GeneratorsOf
from brightrun.cluster.runs import queries
from brightrun.cluster.runs.dependencies import ContextOf, check_key
from brightrun.contracts.cluster_api import Capabilities

router = APIRouter(prefix="/training", dependencies=[Depends(check_key)])
for subject in (runs, downloads, logs, generation):
    router.include_router(subject.router)

open_router = APIRouter()
open_router.include_router(downloads.open_router)


@router.get("/capabilities")
async def read_capabilities(context: ContextOf, generators: GeneratorsOf) -> Capabilities:
    """What this cluster is and can do."""
    settings, executor = context.settings, context.executor
    models = None if executor.simulated else settings.models
    return Capabilities(
        name=settings.cluster_name,
        version=version("brightrun-cluster"),
        executor=executor.name,
        simulated=executor.simulated,
        gpu_types=executor.gpu_types,
        base_models=await asyncio.to_thread(base_models_in, models) if models else (),
        fetches_models=executor.simulated,
        max_gpus=dict(executor.max_gpus),
        idempotent_submit=True,
        events=True,
        graceful_stop=True,
        logs=True,
        log_follow=True,
        stop_modes=("checkpoint", "finish"),
        resume=True,
        checkpoints=True,
        checkpoint_days=settings.keep_checkpoint_days,
        runs=True,
        capacity=True,
        generation=generators.possible,
        inputs=True,
    )


@open_router.get("/ready", include_in_schema=False)
async def ready(context: ContextOf) -> dict[str, bool]:
    """Whether the database answers."""
    await context.store.read(queries.newest_cursor)
    return {"success": True}
