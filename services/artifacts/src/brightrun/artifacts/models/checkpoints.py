"""Checkpoints of runs: those that a cluster has, and copies of them in the store."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from brightrun.artifacts.dependencies import Clusters
from brightrun.artifacts.models import actions, queries
from brightrun.artifacts.models.schemas import ModelView
from brightrun.cluster_client.client import ClusterClient
from brightrun.cluster_client.responses import ABSENT, ClusterError
from brightrun.contracts.checkpoints import CheckpointCopy
from brightrun.contracts.cluster_api import RunCheckpoints
from brightrun.contracts.errors import CheckpointGone, CheckpointsUnsupported, ClusterUnavailable
from brightrun.runtime.database import Db, transaction
from brightrun.runtime.http import Envelope
from brightrun.runtime.tokens import CallerOf

router = APIRouter()
Text = Annotated[str, Query(max_length=1000)]


@router.get("/checkpoints")
async def list_checkpoints(
    cluster: Text, external_job_id: Text, caller: CallerOf, clusters: Clusters
) -> Envelope[RunCheckpoints]:
    """Those that the run's cluster has now; none if it knows no such run. The caller has checked the owner."""
    return Envelope(data=await _list(clusters, cluster, external_job_id))


@router.put("/models/{model_id}/checkpoint")
async def copy_checkpoint(
    model_id: UUID, body: CheckpointCopy, caller: CallerOf, pool: Db, clusters: Clusters
) -> Envelope[ModelView]:
    """Have a checkpoint copied, once, as the model with this id. Raises why its cluster does not have it."""
    model = await queries.find_model(pool, caller.user, model_id)
    if model is None or model.status == "failed":
        await _check(clusters, body)
        async with transaction(pool) as conn:
            await actions.request_copy(conn, caller.user, model_id, body)
        model = await actions.find_model(pool, caller.user, model_id)
    return Envelope(data=ModelView.of(model, []))


async def _check(clusters: Mapping[str, ClusterClient], copy: CheckpointCopy) -> None:
    """Raises CheckpointGone, CheckpointsUnsupported and ClusterUnavailable."""
    found = await _list(clusters, copy.cluster, copy.external_job_id)
    if any(checkpoint.step == copy.step for checkpoint in found.checkpoints):
        return
    cluster = clusters.get(copy.cluster)
    try:
        unsupported = cluster is not None and not (await cluster.capabilities()).checkpoints
    except ClusterError as error:
        raise ClusterUnavailable({"cluster": copy.cluster}) from error
    raise CheckpointsUnsupported if unsupported else CheckpointGone


async def _list(clusters: Mapping[str, ClusterClient], name: str, external_job_id: str) -> RunCheckpoints:
    cluster = clusters.get(name)
    if cluster is None:
        return RunCheckpoints(checkpoints=())
    try:
        return await cluster.checkpoints(external_job_id)
    except ClusterError as error:
        if error.status in ABSENT:
            return RunCheckpoints(checkpoints=())
        raise ClusterUnavailable({"cluster": name}) from error
