"""Submission: a request becomes one job, however often it is sent.

`create_job` serves both dialects. It looks for the job that the same request made before, fetches the inputs, and
records the job in one transaction, which checks under locks again what may have changed meanwhile.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from brightrun.api import errors
from brightrun.api.datasets import queries as datasets
from brightrun.api.datasets.actions import fetch_dataset
from brightrun.api.datasets.models import UNCHECKED, PendingDataset
from brightrun.api.deletions import queries as deletions
from brightrun.api.http.clients import ServiceClients, find
from brightrun.api.jobs import queries, rules
from brightrun.api.jobs.actions import queued
from brightrun.api.jobs.models import (
    AwaitingDataset,
    IdempotencyClaim,
    Inputs,
    Job,
    JobRequest,
    Start,
    StartCheckpoint,
    StartingModel,
)
from brightrun.api.pricing import estimates, prices
from brightrun.api.pricing.actions import require_current_prices
from brightrun.api.pricing.models import Quote
from brightrun.contracts.events import ArtifactFile, Pricing, adapter_files
from brightrun.contracts.scheduling import ClusterCapacity
from brightrun.contracts.training import TrainingSpec
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime import outbox
from brightrun.runtime.clients import ServiceClient
from brightrun.runtime.database import Connection, Pool, transaction
from brightrun.runtime.locks import lock, try_lock


async def create_job(
    pool: Pool, clients: ServiceClients, user_id: UUID, request: JobRequest, claim: IdempotencyClaim
) -> Job:
    """The job that the request made before, or else a new one. Raises what the dialects document for submissions.

    No transaction is open while the artifacts service is asked.
    """
    job = await find_repeated_job(pool, user_id, claim)
    if job is None:
        inputs = await fetch_inputs(pool, clients.artifacts, user_id, request)
        async with transaction(pool) as conn:
            job = await record_job(conn, user_id, request, inputs, claim, clusters=clients.cluster_reports.clusters)
    return job


async def find_repeated_job(conn: Connection | Pool, user_id: UUID, claim: IdempotencyClaim) -> Job | None:
    """The job that the same request made. Raises KeyReused, JobDeletedSince."""
    if claim.key is None:
        return await queries.find_job_by_request(conn, user_id, claim) if claim.guarded else None
    found = await queries.find_by_key(conn, user_id, claim.key)
    if found is None:
        return None
    sha256, job_id = found
    if sha256 != claim.sha256:
        raise errors.KeyReused
    job = await queries.find_job(conn, user_id, job_id)
    if job is None:
        raise errors.JobDeletedSince
    return job


async def fetch_inputs(pool: Connection | Pool, artifacts: ServiceClient, user_id: UUID, request: JobRequest) -> Inputs:
    """The inputs that the request names, from this slice, or else from the artifacts service.

    Raises DatasetNotFound, ModelNotFound.
    """
    known, deleted = await datasets.find_datasets(pool, user_id, request.dataset_ids)
    missing = [dataset_id for dataset_id in request.dataset_ids if dataset_id not in known.keys() | deleted]
    if missing:
        fetched = await asyncio.gather(*(fetch_dataset(artifacts, user_id, dataset_id) for dataset_id in missing))
        known |= {dataset.id: dataset for dataset in fetched if dataset}
    for dataset_id in request.dataset_ids:
        if dataset_id not in known:
            raise _dataset_not_found(request, dataset_id)
    validation_id, start_id = request.hyperparameters.validation_dataset_id, request.hyperparameters.init_from
    start = await _fetch_model(artifacts, user_id, start_id) if start_id else None
    if start_id and start is None:
        raise _model_not_found()
    return Inputs(known[request.dataset_id], known[validation_id] if validation_id else None, start)


async def _fetch_model(artifacts: ServiceClient, user_id: UUID, model_id: UUID) -> StartingModel | None:
    """The user's model from the artifacts service; None if there is none."""
    found = await find(artifacts, user_id, f"/models/{model_id}")
    if found is None:
        return None
    return StartingModel(
        id=model_id,
        job_id=UUID(found["job_id"]),
        name=found["name"],
        status=found["status"],
        spec=TrainingSpec.model_validate(found["configuration"]["hyperparameters"]).resolved(),
        files=adapter_files(ArtifactFile.model_validate(file) for file in found["files"]),
        step=found["checkpoint"]["step"] if found.get("checkpoint") else None,
    )


async def record_job(
    conn: Connection,
    user_id: UUID,
    request: JobRequest,
    inputs: Inputs,
    claim: IdempotencyClaim,
    *,
    clusters: Sequence[ClusterCapacity] | None = None,
) -> Job:
    """Record the job at the current prices, unless the same request has made one meanwhile.

    The job is queued at once, or once its data sets are validated. Raises KeyInFlight, DatasetNotFound and others.
    """
    if claim.key and not await try_lock(conn, f"key:{user_id}:{claim.key}"):
        raise errors.KeyInFlight
    if claim.guarded:
        await lock(conn, f"request:{user_id}:{claim.sha256.hex()}")
    if repeated := await find_repeated_job(conn, user_id, claim):
        return repeated
    inputs = await _lock_inputs(conn, user_id, request, inputs)
    job = await _plan_job(conn, user_id, request, inputs, clusters)
    if not await queries.insert_job(conn, job, claim, request.input_ids):
        _, deleted = await datasets.find_datasets(conn, user_id, request.dataset_ids)
        raise _dataset_not_found(request, next(iter(deleted))) if deleted else _model_not_found()
    if claim.key:
        await queries.insert_key(conn, user_id, claim, job.id)
    if not job.awaiting_dataset:
        await outbox.add(conn, queued(job))
    return job


async def _lock_inputs(conn: Connection, user_id: UUID, request: JobRequest, inputs: Inputs) -> Inputs:
    """Until the transaction ends, no input is deleted; a data set to be awaited is read again: it may be valid now."""
    awaited = {dataset.id for dataset in inputs.datasets if request.may_await_dataset and dataset.status in UNCHECKED}
    for input_id in sorted(request.input_ids):  # in one order, so that no two submissions wait for each other
        await (deletions.lock_object if input_id in awaited else deletions.share_object)(conn, input_id)
    if not awaited:
        return inputs
    known, _ = await datasets.find_datasets(conn, user_id, request.dataset_ids)
    return replace(
        inputs,
        dataset=known.get(inputs.dataset.id, inputs.dataset),
        validation=inputs.validation and known.get(inputs.validation.id, inputs.validation),
    )


async def _plan_job(
    conn: Connection,
    user_id: UUID,
    request: JobRequest,
    inputs: Inputs,
    clusters: Sequence[ClusterCapacity] | None,
) -> Job:
    """The job as it is promised. Raises Invalid, Untrainable, NotRunnable, DatasetNotReady, EstimateChanged."""
    dataset, validation = rules.usable_datasets(request, inputs)
    pending = any(isinstance(usable, PendingDataset) for usable in (dataset, validation))
    requested = rules.inherit(request.hyperparameters, inputs.start)
    spec = prices.resolve(request.preset_id, requested)
    problems = rules.preset_problems(request, requested) | rules.input_problems(requested, inputs)
    examples = dataset.training_pairs or None
    has_inputs = bool(validation or inputs.start)
    current = await require_current_prices(
        conn, request.gpu_config, spec, problems, examples=examples, clusters=clusters, inputs=has_inputs
    )
    spec, rate = prices.with_own_name(spec, current.base_model), prices.hourly_rate_of(request.gpu_config, current)
    if inputs.start and (wrong := rules.other_base(spec, inputs.start)):
        raise errors.Invalid(wrong)
    quote = estimates.estimate(dataset, spec, rate)
    if not pending:
        _check_estimate(request, quote)
    return Job(
        id=new_id(),
        user_id=user_id,
        name=request.name or inputs.dataset.name,
        preset_id=request.preset_id,
        gpu=request.gpu_config,
        submitted=request.hyperparameters.model_dump(mode="json", exclude_unset=True),
        spec=spec,
        pricing=Pricing(hourly_rate=rate.hourly, storage=rate.storage),
        estimated_cost=quote.total,
        dataset=dataset,
        planned_steps=quote.total_steps,
        planned_epochs=quote.epochs,
        planned_seconds=quote.seconds,
        queued_at=utc_now(),
        dialect=request.dialect,
        suffix=request.suffix,
        metadata=request.metadata,
        retry_of=request.retry_of,
        cloned_from=request.cloned_from,
        from_checkpoint=request.from_checkpoint,
        awaiting_dataset=AwaitingDataset(tokens_per_second=rate.tokens_per_second) if pending else None,
        validation=validation,
        start=await _start(conn, user_id, inputs.start) if inputs.start else None,
    )


async def _start(conn: Connection, user_id: UUID, model: StartingModel) -> Start:
    job = await queries.find_job(conn, user_id, model.job_id)
    checkpoint = None
    if model.step is not None:
        named_after = job.artifact.artifact_id if job and job.artifact else model.job_id
        checkpoint = StartCheckpoint(named_after=named_after, step=model.step)
    suffix = job.suffix if job else None
    return Start(artifact_id=model.id, name=model.name, files=model.files, suffix=suffix, checkpoint=checkpoint)


def _check_estimate(request: JobRequest, quote: Quote) -> None:
    claimed = request.estimated_cost
    if claimed is not None and not request.accept_estimate and estimates.differs(claimed, quote):
        raise errors.EstimateChanged({"estimated_cost": float(quote.total)})


def _model_not_found() -> errors.ModelNotFound:
    return errors.ModelNotFound(
        {"hyperparameters.init_from": ["is no model of yours, nor a copy of a checkpoint that is still kept"]}
    )


def _dataset_not_found(request: JobRequest, dataset_id: UUID) -> errors.DatasetNotFound:
    if dataset_id == request.dataset_id:
        return errors.DatasetNotFound()
    return errors.DatasetNotFound({"hyperparameters.validation_dataset_id": ["is no data set of yours"]})
