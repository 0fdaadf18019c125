"""Jobs: recorded, paused, cancelled, deleted."""

from uuid import UUID

from brightrun.api.actions.offers import take_offer
from brightrun.api.errors import (
    DatasetNotReady,
    EstimateChanged,
    JobFinished,
    JobNotOver,
    JobNotPausable,
    JobNotPaused,
)
from brightrun.api.models import READY, UNCHECKED, Claim, Dataset, Hold, Job, Order, PendingDataset
from brightrun.api.queries import jobs
from brightrun.api.quotes import Quote
from brightrun.api.rules import estimates, holds, pauses, presets, prices
from brightrun.contracts.events import (
    DatasetRef,
    JobCancelRequested,
    JobDeleted,
    JobPauseRequested,
    JobQueued,
    JobResumeRequested,
    Pricing,
)
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime import outbox
from brightrun.runtime.database import Connection
from brightrun.runtime.errors import NotFound


async def submit_job(
    conn: Connection, user_id: UUID, order: Order, dataset: Dataset, claim: Claim | None = None
) -> Job:
    """Record the job, with the price it is promised, and have it queued: at once, or when its data set was checked."""
    held = order.may_wait and dataset.status in UNCHECKED
    data = _pending(dataset) if held else _trainable(dataset)
    spec = presets.resolve(order.preset_id, order.hyperparameters)
    offer = await take_offer(conn, order.gpu, spec.base_model, presets.problems(order))
    spec, rate = prices.named(spec, offer.base_model), prices.rate_of(order.gpu, offer)
    quote = estimates.estimate(data, spec, rate)
    if not held:
        _compare(order, quote)
    job = Job(
        id=new_id(),
        user_id=user_id,
        name=order.name or dataset.name,
        preset_id=order.preset_id,
        gpu=order.gpu,
        submitted=order.hyperparameters.model_dump(mode="json", exclude_unset=True),
        spec=spec,
        pricing=Pricing(hourly_rate=rate.hourly, storage=rate.storage),
        estimated_cost=quote.total,
        dataset=data,
        planned_steps=quote.total_steps,
        planned_epochs=quote.epochs,
        planned_seconds=quote.seconds,
        queued_at=utc_now(),
        face=order.face,
        suffix=order.suffix,
        metadata=order.metadata,
        retry_of=order.retry_of,
        cloned_from=order.cloned_from,
        hold=Hold(tokens_per_second=rate.tokens_per_second) if held else None,
    )
    await jobs.insert_job(conn, job, claim)
    if isinstance(data, DatasetRef):
        await outbox.add(conn, queued(job, data))
    return job


async def cancel_job(conn: Connection, user_id: UUID, job_id: UUID) -> None:
    """Ask for the job to be stopped, once; one that was not queued yet ends at once."""
    job = await jobs.lock_job(conn, user_id, job_id)
    if job is None:
        raise NotFound
    if job.state.status.terminal:
        raise JobFinished
    now = utc_now()
    if job.held:
        await jobs.save_released(conn, holds.cancel(job, now))
    elif job.cancel_requested_at is None:
        await jobs.mark_cancel_requested(conn, job.id, now)
        await outbox.add(conn, JobCancelRequested(job_id=job.id, user_id=user_id))


async def pause_job(conn: Connection, user_id: UUID, job_id: UUID) -> None:
    """Ask for the job to be saved and to give its GPUs back, once."""
    job = await jobs.lock_job(conn, user_id, job_id)
    if job is None:
        raise NotFound
    if not pauses.can_pause(job):
        raise JobNotPausable({"status": job.state.status})
    if not job.pausing:
        job = pauses.pause(job, utc_now())
        await jobs.save_pause(conn, job)
        await outbox.add(conn, JobPauseRequested(job_id=job.id, user_id=user_id, turn=job.pause_turn))


async def resume_job(conn: Connection, user_id: UUID, job_id: UUID) -> None:
    """Let the paused job wait for GPUs again, to go on from its last checkpoint."""
    job = await jobs.lock_job(conn, user_id, job_id)
    if job is None:
        raise NotFound
    if not pauses.can_resume(job):
        raise JobNotPaused({"status": job.state.status, "pausing": job.pausing})
    job = pauses.resume(job)
    await jobs.save_pause(conn, job)
    await outbox.add(conn, JobResumeRequested(job_id=job.id, user_id=user_id, turn=job.pause_turn))


async def delete_job(conn: Connection, user_id: UUID, job_id: UUID) -> None:
    """Forget a job that is over, and tell those who keep something of it."""
    job = await jobs.lock_job(conn, user_id, job_id)
    if job is None:
        raise NotFound
    if not job.state.status.terminal:
        raise JobNotOver
    await jobs.delete_job(conn, job.id)
    await outbox.add(conn, JobDeleted(job_id=job.id, user_id=user_id))


def queued(job: Job, dataset: DatasetRef) -> JobQueued:
    """The fact that the job waits for GPUs."""
    return JobQueued(
        job_id=job.id,
        user_id=job.user_id,
        name=job.name,
        spec=job.spec,
        gpu=job.gpu,
        dataset=dataset,
        pricing=job.pricing,
        estimated_cost=job.estimated_cost,
    )


def _compare(order: Order, quote: Quote) -> None:
    """Refuses a price that is not the one that the user was shown."""
    claimed = order.estimated_cost
    if claimed is not None and not order.accept_estimate and estimates.differs(claimed, quote):
        raise EstimateChanged({"estimated_cost": float(quote.total)})


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


def _pending(dataset: Dataset) -> PendingDataset:
    return PendingDataset(dataset_id=dataset.id, name=dataset.name, format=dataset.format)
