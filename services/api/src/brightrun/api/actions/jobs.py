"""Jobs: recorded, paused, cancelled, deleted."""

from dataclasses import replace
from uuid import UUID

from brightrun.api.actions.offers import take_offer
from brightrun.api.errors import (
    DatasetNotReady,
    EstimateChanged,
    Invalid,
    JobFinished,
    JobNotOver,
    JobNotPausable,
    JobNotPaused,
)
from brightrun.api.inputs import EarlierModel, Inputs
from brightrun.api.models import (
    READY,
    UNCHECKED,
    Claim,
    Dataset,
    Hold,
    Job,
    Order,
    PendingDataset,
    Start,
)
from brightrun.api.queries import jobs
from brightrun.api.quotes import Quote
from brightrun.api.rules import estimates, holds, inputs, pauses, presets, prices
from brightrun.contracts.events import (
    AdapterRef,
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


async def submit_job(conn: Connection, user_id: UUID, order: Order, given: Inputs, claim: Claim | None = None) -> Job:
    """Record the job, with the price it is promised, and have it queued: at once, or once its data sets are checked."""
    data, validation = _usable(order, given.dataset), None
    if given.validation:
        validation = _usable(order, given.validation, "hyperparameters.validation_dataset_id")
    held = any(isinstance(one, PendingDataset) for one in (data, validation))
    wished = inputs.inherit(order.hyperparameters, given.start)
    spec = presets.resolve(order.preset_id, wished)
    problems = presets.problems(replace(order, hyperparameters=wished)) | inputs.problems(wished, given)
    offer = await take_offer(conn, order.gpu, spec, problems, data.training_pairs or None)
    spec, rate = prices.named(spec, offer.base_model), prices.rate_of(order.gpu, offer)
    if given.start and (wrong := inputs.other_base(spec, given.start)):
        raise Invalid(wrong)
    quote = estimates.estimate(data, spec, rate)
    if not held:
        _compare(order, quote)
    job = Job(
        id=new_id(),
        user_id=user_id,
        name=order.name or given.dataset.name,
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
        validation=validation,
        start=await _start(conn, user_id, given.start) if given.start else None,
    )
    await jobs.insert_job(conn, job, claim)
    if not held:
        await outbox.add(conn, queued(job))
    return job


async def cancel_job(conn: Connection, user_id: UUID, job_id: UUID) -> None:
    """Ask for the job to be stopped, once; one that was not queued yet ends at once."""
    job = await _own(conn, user_id, job_id)
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
    job = await _own(conn, user_id, job_id)
    if not pauses.can_pause(job):
        raise JobNotPausable({"status": job.state.status})
    if not job.pausing:
        job = pauses.pause(job, utc_now())
        await jobs.save_pause(conn, job)
        await outbox.add(conn, JobPauseRequested(job_id=job.id, user_id=user_id, turn=job.pause_turn))


async def resume_job(conn: Connection, user_id: UUID, job_id: UUID) -> None:
    """Let the paused job wait for GPUs again, to go on from its last checkpoint."""
    job = await _own(conn, user_id, job_id)
    if not pauses.can_resume(job):
        raise JobNotPaused({"status": job.state.status, "pausing": job.pausing})
    job = pauses.resume(job)
    await jobs.save_pause(conn, job)
    await outbox.add(conn, JobResumeRequested(job_id=job.id, user_id=user_id, turn=job.pause_turn))


async def delete_job(conn: Connection, user_id: UUID, job_id: UUID) -> None:
    """Forget a job that is over, and tell those who keep something of it."""
    job = await _own(conn, user_id, job_id)
    if not job.state.status.terminal:
        raise JobNotOver
    await jobs.delete_job(conn, job.id)
    await outbox.add(conn, JobDeleted(job_id=job.id, user_id=user_id))


def queued(job: Job) -> JobQueued:
    """The fact that the job waits for GPUs. All its data sets are checked."""
    return JobQueued(
        job_id=job.id,
        user_id=job.user_id,
        name=job.name,
        spec=job.spec,
        gpu=job.gpu,
        dataset=DatasetRef.model_validate(job.dataset, from_attributes=True),
        pricing=job.pricing,
        estimated_cost=job.estimated_cost,
        validation=DatasetRef.model_validate(job.validation, from_attributes=True) if job.validation else None,
        start=AdapterRef.model_validate(job.start, from_attributes=True) if job.start else None,
    )


async def _own(conn: Connection, user_id: UUID, job_id: UUID) -> Job:
    """The user's job, locked. Raises NotFound."""
    job = await jobs.lock_job(conn, user_id, job_id)
    if job is None:
        raise NotFound
    return job


def _compare(order: Order, quote: Quote) -> None:
    """Refuses a price that is not the one that the user was shown."""
    claimed = order.estimated_cost
    if claimed is not None and not order.accept_estimate and estimates.differs(claimed, quote):
        raise EstimateChanged({"estimated_cost": float(quote.total)})


async def _start(conn: Connection, user_id: UUID, model: EarlierModel) -> Start:
    """The model as the job keeps it."""
    suffixes = await jobs.list_suffixes(conn, user_id, [model.job_id])
    return Start(artifact_id=model.id, name=model.name, files=model.files, suffix=suffixes.get(model.job_id))


def _usable(order: Order, dataset: Dataset, field: str | None = None) -> DatasetRef | PendingDataset:
    """The data set as the job keeps it; refuses one that is not ready, in the original's words.

    `field`: where the order names it, if that is not where all orders do.
    """
    if order.may_wait and dataset.status in UNCHECKED:
        return PendingDataset(dataset_id=dataset.id, name=dataset.name, format=dataset.format)
    ready = dataset.status == READY
    if not ready or dataset.sha256 is None:
        problem = (
            "Dataset must have status='ready' and training_ready=true. "
            f"Current: status='{dataset.status}', training_ready={str(ready).lower()}"
        )
        raise DatasetNotReady({field: [problem]} if field else problem)
    return DatasetRef(
        dataset_id=dataset.id,
        name=dataset.name,
        format=dataset.format,
        training_pairs=dataset.training_pairs,
        tokens=dataset.tokens,
        sha256=dataset.sha256,
    )
