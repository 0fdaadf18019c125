"""Orders of jobs, each carried out once however often it is sent."""

from uuid import UUID

from brightrun.api.actions import jobs as actions
from brightrun.api.errors import DatasetNotFound, JobDeletedSince, KeyInFlight, KeyReused, ModelNotFound
from brightrun.api.inputs import Inputs, Told
from brightrun.api.models import UNCHECKED, Claim, Dataset, Job, Order
from brightrun.api.queries import datasets, idempotency, jobs, removals
from brightrun.api.rules.repetition import KEY_LIFETIME, REPETITION_WINDOW
from brightrun.runtime.database import Connection


async def carry_out(
    conn: Connection, user_id: UUID, order: Order, claim: Claim, told: Told | None = None
) -> Job | None:
    """The job of the order: the one that the claim has made before, or else a new one.

    None if nobody has told of what the order names: ask, and come again with what was `told` once this transaction has
    ended.
    """
    job = await _find_first(conn, user_id, claim)
    if job is not None:
        return job
    inputs = await _keep_inputs(conn, user_id, order, told)
    if inputs is None:
        return None
    job = await actions.submit_job(conn, user_id, order, inputs, claim)
    if claim.key is not None:
        await idempotency.keep_key(conn, user_id, claim.key, claim.sha256, job.id)
    return job


async def _keep_inputs(conn: Connection, user_id: UUID, order: Order, told: Told | None) -> Inputs | None:
    """What the order names, as it is now, the data sets kept from being removed until the transaction ends.

    None if it is not all known; refuses what is not there.
    """
    evaluated, start_id = order.hyperparameters.validation_dataset_id, order.hyperparameters.init_from
    wanted = {order.dataset_id: told.dataset if told else None}
    if evaluated:
        wanted.setdefault(evaluated, told.validation if told else None)
    found: dict[UUID, Dataset] = {}
    for dataset_id in sorted(wanted):  # in one order, so that no two orders wait for each other
        dataset = await _keep_dataset(conn, user_id, dataset_id, wanted[dataset_id], may_wait=order.may_wait)
        if dataset is None and told:
            raise _not_found(order, dataset_id)
        if dataset:
            found[dataset_id] = dataset
    start = told.start if told else None
    if start_id and told and start is None:
        raise ModelNotFound({"hyperparameters.init_from": ["is no model of yours"]})
    if found.keys() != wanted.keys() or (start_id and start is None):
        return None
    return Inputs(found[order.dataset_id], found[evaluated] if evaluated else None, start)


async def _keep_dataset(
    conn: Connection, user_id: UUID, dataset_id: UUID, told: Dataset | None, *, may_wait: bool
) -> Dataset | None:
    """The data set as it is now, kept from being removed; one that is removed is not told of."""
    if may_wait and told and told.status in UNCHECKED:
        # Whoever tells that it was checked comes before this look or after the transaction, when the job can be seen.
        await datasets.await_dataset(conn, dataset_id)
    else:
        await removals.use_dataset(conn, dataset_id)
    known, removed = await datasets.find_for_order(conn, user_id, dataset_id)
    return None if removed else known or told


def _not_found(order: Order, dataset_id: UUID) -> DatasetNotFound:
    if dataset_id == order.dataset_id:
        return DatasetNotFound()
    return DatasetNotFound({"hyperparameters.validation_dataset_id": ["is no data set of yours"]})


async def _find_first(conn: Connection, user_id: UUID, claim: Claim) -> Job | None:
    """The job that the same request made; from here to the transaction's end no other can make one for it."""
    if claim.key is not None:
        return await _find_by_key(conn, user_id, claim, claim.key)
    if not claim.guarded:
        return None
    await idempotency.await_order(conn, user_id, claim.sha256)
    job_id = await idempotency.find_by_order(conn, user_id, claim, claim.began_at - REPETITION_WINDOW)
    return await jobs.find_job(conn, user_id, job_id) if job_id else None


async def _find_by_key(conn: Connection, user_id: UUID, claim: Claim, key: str) -> Job | None:
    if not await idempotency.take_key(conn, user_id, key):
        raise KeyInFlight
    found = await idempotency.find_by_key(conn, user_id, key, KEY_LIFETIME)
    if found is None:
        return None
    sha256, job_id = found
    if sha256 != claim.sha256:
        raise KeyReused
    job = await jobs.find_job(conn, user_id, job_id)
    if job is None:
        raise JobDeletedSince
    return job
