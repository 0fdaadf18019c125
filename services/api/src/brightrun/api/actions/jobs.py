"""Estimates and jobs."""

from uuid import UUID

from brightrun.api.errors import DatasetNotReady, EstimateChanged, Invalid, JobFinished
from brightrun.api.models import READY, Dataset, Job, Quote
from brightrun.api.queries import jobs, prices
from brightrun.api.rules import estimates, presets
from brightrun.api.schemas.jobs import EstimateJob, SubmitJob
from brightrun.contracts.events import DatasetRef, JobCancelRequested, JobQueued, Pricing
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime import outbox
from brightrun.runtime.database import Connection
from brightrun.runtime.errors import NotFound

UNSUPPORTED = ("init_from", "validation_dataset_id")


async def estimate(conn: Connection, body: EstimateJob, dataset: Dataset) -> Quote:
    """What the training will cost and take."""
    return await _quote(conn, dataset, body.hyperparameters, body.gpu_config, {})


async def submit_job(conn: Connection, user_id: UUID, body: SubmitJob, dataset: Dataset) -> Job:
    """Record the job, with the price it is promised, and have it queued."""
    data = _trainable(dataset)
    spec = presets.resolve(body.preset_id, body.hyperparameters)
    quote = await _quote(conn, dataset, spec, body.gpu_config, _problems(body))
    if body.estimated_cost is not None and not body.accept_estimate and estimates.differs(body.estimated_cost, quote):
        raise EstimateChanged({"estimated_cost": float(quote.total)})
    job = Job(
        id=new_id(),
        user_id=user_id,
        name=body.name or dataset.name,
        preset_id=body.preset_id,
        gpu=body.gpu_config,
        submitted=body.hyperparameters.model_dump(mode="json", exclude_unset=True),
        spec=spec,
        pricing=Pricing(hourly_rate=quote.hourly_rate, storage=quote.storage),
        estimated_cost=quote.total,
        dataset=data,
        planned_steps=quote.total_steps,
        planned_epochs=quote.epochs,
        queued_at=utc_now(),
    )
    await jobs.insert_job(conn, job)
    await outbox.add(conn, _queued(job))
    return job


async def cancel_job(conn: Connection, user_id: UUID, job_id: UUID) -> None:
    """Ask for the job to be stopped, once."""
    job = await jobs.lock_job(conn, user_id, job_id)
    if job is None:
        raise NotFound
    if job.state.status.terminal:
        raise JobFinished
    if job.cancel_requested_at is None:
        await jobs.mark_cancel_requested(conn, job.id, utc_now())
        await outbox.add(conn, JobCancelRequested(job_id=job.id, user_id=user_id))


async def _quote(
    conn: Connection, dataset: Dataset, spec: TrainingSpec, gpu: GpuConfig, problems: dict[str, list[str]]
) -> Quote:
    """The estimate; refuses an unknown GPU type together with the other `problems` of the request."""
    known = {price.type: price for price in await prices.list_gpus(conn)}
    if gpu.type not in known:
        problems = problems | {"gpu_config.type": [f"unknown GPU type; known are {', '.join(known)}"]}
    if problems:
        raise Invalid(problems)
    return estimates.estimate(dataset, spec, gpu, known[gpu.type], await prices.storage_fee(conn))


def _problems(body: SubmitJob) -> dict[str, list[str]]:
    needed = presets.missing(body.preset_id, body.hyperparameters)
    problems = {f"hyperparameters.{name}": ["Field required by the preset custom"] for name in needed}
    for name in UNSUPPORTED:
        if getattr(body.hyperparameters, name) is not None:
            problems[f"hyperparameters.{name}"] = ["not supported by this version's trainer"]
    return problems


def _trainable(dataset: Dataset) -> DatasetRef:
    """The data set as the job keeps it; refuses one that is not ready, in the original's words."""
    ready = dataset.status == READY
    if not ready or dataset.sha256 is None:
        raise DatasetNotReady(
            "Dataset must have status='ready' and training_ready=true. "
            f"Current: status='{dataset.status}', training_ready={str(ready).lower()}"
        )
    return DatasetRef(
        dataset_id=dataset.id,
        name=dataset.name,
        format=dataset.format,
        training_pairs=dataset.training_pairs,
        tokens=dataset.tokens,
        sha256=dataset.sha256,
    )


def _queued(job: Job) -> JobQueued:
    return JobQueued(
        job_id=job.id,
        user_id=job.user_id,
        name=job.name,
        spec=job.spec,
        gpu=job.gpu,
        dataset=job.dataset,
        pricing=job.pricing,
        estimated_cost=job.estimated_cost,
    )
