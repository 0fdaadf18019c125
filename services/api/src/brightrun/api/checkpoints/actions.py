"""List checkpoints with how long they can be had, copy them, and delete copies that expired."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from prometheus_client import Counter

from brightrun.api.checkpoints import queries, rules
from brightrun.api.checkpoints.models import Availability
from brightrun.api.datasets.models import PendingDataset
from brightrun.api.deletions.actions import execute
from brightrun.api.errors import CheckpointNotCopied, CheckpointNotFound, CheckpointPending, ModelInUse
from brightrun.api.http.clients import ServiceClients
from brightrun.api.jobs.models import Job, StartedRun
from brightrun.api.models.actions import decide_deletion
from brightrun.contracts.checkpoints import CheckpointCopy
from brightrun.contracts.cluster_api import RunCheckpoints
from brightrun.contracts.errors import CheckpointGone, CheckpointsUnsupported, ClusterUnavailable, TooManyCopies
from brightrun.contracts.values import new_id
from brightrun.runtime.clients import PeerError
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.errors import Unavailable
from brightrun.runtime.failpoints import failpoint

COPY_ERRORS = (
    CheckpointPending,
    CheckpointNotCopied,
    CheckpointGone,
    CheckpointsUnsupported,
    ClusterUnavailable,
    TooManyCopies,
)
"""Why a checkpoint that the job has may not be copied."""
DELETED = Counter(
    "brightrun_deleted_checkpoint_copies_total", "Copies of checkpoints that were deleted as they expired."
)
WAIT_SECONDS = 15.0
"""How long a request waits until its checkpoint is copied."""
POLL_SECONDS = 0.25
CLUSTER_SECONDS = 12.0
"""Longer than the artifacts service waits for a cluster."""
RESERVED = timedelta(hours=1)
"""How long a copy is kept at least that nobody has fetched, and until a failed deletion is repeated."""


async def add_availability(
    pool: Pool, clients: ServiceClients, job: Job, checkpoints: Sequence[Mapping[str, Any]]
) -> list[Availability]:
    """How long each of the job's checkpoints can be had."""
    attempts = {checkpoint["attempt"] for checkpoint in checkpoints}
    runs = [run for run in job.runs if run.attempt in attempts]
    kept = await asyncio.gather(*(_read_cluster(clients, job.user_id, run) for run in runs))
    on_clusters = {run.attempt: steps for run, steps in zip(runs, kept, strict=True)}
    copies = await queries.list_copies(pool, job.id)
    return [
        rules.availability(step, on_clusters.get(attempt), copies.get((attempt, step)))
        for attempt, step in ((checkpoint["attempt"], checkpoint["step"]) for checkpoint in checkpoints)
    ]


async def _read_cluster(clients: ServiceClients, user_id: UUID, run: StartedRun) -> dict[int, datetime | None] | None:
    params = {"cluster": run.cluster, "external_job_id": run.external_job_id}
    try:
        answer = await clients.artifacts.send("GET", "/checkpoints", user_id, params=params)
    except (PeerError, Unavailable):
        return None
    found = RunCheckpoints.model_validate(answer).checkpoints
    return {checkpoint.step: checkpoint.kept_until for checkpoint in found}


async def copy_checkpoint(
    pool: Pool, clients: ServiceClients, job: Job, attempt: int, step: int, *, keep: timedelta
) -> UUID:
    """The model that the checkpoint is copied to, which is stored and does not expire for `keep`.

    Raises CheckpointNotFound, CheckpointPending, CheckpointNotCopied, PeerError. It can be repeated: a copy that a dead
    process began is found again, and one that nobody asks for expires.
    """
    run = next((run for run in job.runs if run.attempt == attempt), None)
    if run is None or isinstance(job.dataset, PendingDataset) or isinstance(job.validation, PendingDataset):
        raise CheckpointNotFound
    async with transaction(pool) as conn:
        model_id = await queries.reserve_copy(conn, job.user_id, job.id, attempt, step, new_id=new_id(), keep=RESERVED)
    failpoint("checkpoint.reserved")
    copy = CheckpointCopy(
        job_id=job.id,
        attempt=attempt,
        step=step,
        cluster=run.cluster,
        external_job_id=run.external_job_id,
        name=f"{job.name} · step {step}",
        spec=job.spec,
        gpu=job.gpu,
        dataset=job.dataset,
        pricing=job.pricing,
        validation=job.validation,
        start=job.start,
    )
    model = await clients.artifacts.send(
        "PUT",
        f"/models/{model_id}/checkpoint",
        job.user_id,
        json=copy.model_dump(mode="json"),
        timeout=CLUSTER_SECONDS,
    )
    failpoint("checkpoint.requested")
    await _wait_until_stored(clients, job.user_id, model)
    async with transaction(pool) as conn:
        await queries.keep_stored(conn, model_id, keep)
    return model_id


async def _wait_until_stored(clients: ServiceClients, user_id: UUID, model: dict[str, Any]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while model["status"] == "pending":
        if time.monotonic() >= end:
            raise CheckpointPending
        await asyncio.sleep(POLL_SECONDS)
        model = await clients.artifacts.get(f"/models/{model['id']}", user_id)
    if model["status"] != "stored":
        raise CheckpointNotCopied({"model_id": model["id"], "problem": model["problem"]})


async def delete_expired_copy(pool: Pool, clients: ServiceClients) -> bool:
    """Delete one copy that expired, unless a job that is not over starts from it; False if there is none."""
    async with transaction(pool) as conn:
        expired = await queries.postpone_expired(conn, RESERVED)
        if expired is None:
            return False
        try:
            await decide_deletion(conn, *expired)
        except ModelInUse:
            return True
    user_id, model_id = expired
    try:
        await execute(pool, clients, "model", user_id, model_id)
    except (PeerError, Unavailable):
        return True
    async with transaction(pool) as conn:
        await queries.delete_copy(conn, model_id)
    DELETED.inc()
    return True
