"""Dispatch, watch and cancel: load, ask the cluster without a transaction, write down under the attempt's fence."""

import asyncio

import httpx
import structlog

from brightrun.contracts.training import JobError
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.errors import NotFound, Unavailable
from brightrun.runtime.failpoints import failpoint
from brightrun.runtime.kafka import Bus
from brightrun.runtime.tokens import Neighbour, Refused
from brightrun.scheduler import actions, queries, rules
from brightrun.scheduler.cluster import Cluster
from brightrun.scheduler.models import Attempt, Rejected, Silent, Submission

log = structlog.get_logger()


async def dispatch(pool: Pool, cluster: Cluster, artifacts: Neighbour) -> bool:
    """Submit one attempt; True if there may be another to submit at once."""
    if not await queries.has_waiting(pool):
        return False
    free_gpus = await cluster.free_gpus()
    async with transaction(pool) as conn:
        attempt = await actions.take_next(conn, cluster.name, free_gpus)
    if attempt is None:
        return False
    failpoint("dispatch.leased")
    submission = await _submit(attempt, cluster, artifacts)
    failpoint("dispatch.submitted")
    async with transaction(pool) as conn:
        await actions.apply_submission(conn, attempt, submission)
    log.info("attempt.answered", job_id=str(attempt.job.job_id), attempt=attempt.attempt, answer=repr(submission))
    return True


async def _submit(attempt: Attempt, cluster: Cluster, artifacts: Neighbour) -> Submission:
    try:
        async with asyncio.timeout(rules.SUBMISSION_BUDGET.total_seconds()):
            dataset = await artifacts.get(f"/datasets/{attempt.job.dataset.dataset_id}/url", attempt.job.user_id)
            return await cluster.submit(attempt, dataset["url"])
    except TimeoutError:
        return Silent("no answer in time")
    except Unavailable as error:
        return Silent(f"no data set URL: {error.details}")
    except Refused as error:
        if error.status != NotFound.status:
            raise
        advice = "Upload the data set again and start a new job."
        return Rejected(JobError(code="dataset_not_found", message="The job's data set is gone.", advice=advice))


async def watch(pool: Pool, bus: Bus, cluster: Cluster) -> bool:
    """Hear the cluster's next events, publish progress, and move the cursor once Kafka has it; True if there were any.

    The cursor also follows a cluster that has lost its history and counts from the beginning again.
    """
    cursor = await queries.read_cursor(pool, cluster.name)
    page = await cluster.events(cursor)
    if page.cursor == cursor:
        return False
    attempts = {attempt.key: attempt for attempt in await queries.find_attempts(pool, rules.keys_of(page.events))}
    await bus.publish(rules.progress_of(page.events, attempts))
    failpoint("watch.published")
    async with transaction(pool) as conn:
        await actions.apply_events(conn, page.events)
        await queries.move_cursor(conn, cluster.name, cursor, page.cursor)
    return True


async def cancel(pool: Pool, cluster: Cluster) -> bool:
    """Pass cancellations on; the cluster's stream reports the end. False: repeats come with the clock."""
    for attempt in await queries.take_cancelling(pool, cluster.name, rules.CANCEL_REPEAT):
        try:
            await cluster.cancel(attempt)
        except httpx.HTTPError as error:
            log.warning("cancel.failed", job_id=str(attempt.job.job_id), attempt=attempt.attempt, error=repr(error))
    return False
