"""Attempts are leased, and what clusters answered to their submission is written down."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import structlog
from prometheus_client import Counter, Histogram

from brightrun.cluster_client.responses import Accepted, Busy, Rejected, Unanswered, Undelivered
from brightrun.contracts.events import JobQueued, JobStarted
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.contracts.values import utc_now
from brightrun.runtime import outbox
from brightrun.runtime.database import Connection
from brightrun.scheduler import queries
from brightrun.scheduler.actions.ending import complete, wait_again
from brightrun.scheduler.models import (
    Attempt,
    ClusterReport,
    Lease,
    NoInputs,
    Started,
    SubmissionResult,
)
from brightrun.scheduler.queries import attempts, clusters, queue, reconciliation, shares
from brightrun.scheduler.rules import capacity, fairness, limits, retries, stops

log = structlog.get_logger()

LEASES = Counter("brightrun_leases_total", "Attempts taken to be submitted.", ["cluster", "kind"])
SUBMISSIONS = Counter("brightrun_submissions_total", "What clusters answered to submissions.", ["cluster", "outcome"])
WAITED = Histogram(
    "brightrun_queue_wait_seconds",
    "From when a job was queued to when a cluster had it.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600),
)


async def take_over(conn: Connection, slots: Mapping[str, int]) -> Sequence[Lease]:
    """Take the submissions whose holders are gone; `slots`: how many each cluster may be sent now."""
    usable = {report.name: slots[report.name] for report in await _usable(conn, slots)}
    leases = await attempts.take_lapsed(conn, usable, retries.LEASE) if any(usable.values()) else []
    for one in leases:
        LEASES.labels(one.attempt.cluster, "lapsed").inc()
    return leases


async def lease(conn: Connection, slots: Mapping[str, int], default_quota: int | None, visible: int) -> Sequence[Lease]:
    """Take what fairness puts next, no more than `slots` for each cluster and `visible` of each user's kinds of jobs.

    The caller holds the lock of dispatch, which makes quotas hold: whoever decides next sees what was leased here.
    """
    rooms = capacity.rooms_of(await _usable(conn, slots))
    if not any(room.free > 0 and slots[room.cluster] > 0 for room in rooms):
        return []
    waiting, users, clock = await queue.read_heads(conn, visible, default_quota)
    if not waiting:
        return []
    plan = fairness.plan(waiting, users, rooms, clock, slots=slots, visible=visible)
    if plan.overtaken:
        await queue.count_overtaken(conn, plan.overtaken)
    leases = await attempts.lease(conn, plan.placements, plan.clock, retries.LEASE) if plan.placements else []
    for one in leases:
        LEASES.labels(one.attempt.cluster, "fresh").inc()
    return leases


async def _usable(conn: Connection, slots: Mapping[str, int]) -> list[ClusterReport]:
    return [report for report in await clusters.read_reports(conn, list(slots), retries.SILENCE) if report.usable]


async def apply_submissions(conn: Connection, answers: Sequence[tuple[Lease, SubmissionResult]]) -> None:
    """Write down what clusters said. A silent one is asked again by whoever holds the lease next."""
    await attempts.lock_attempts(conn, [lease.attempt.key for lease, _ in answers])
    if accepted := [(one.attempt, said.external_job_id) for one, said in answers if isinstance(said, Accepted)]:
        await accept(conn, accepted)
    refunds: dict[UUID, float] = defaultdict(float)
    for one, said in answers:
        refunds[one.attempt.user_id] -= await _apply(conn, one, said) or 0.0
        SUBMISSIONS.labels(one.attempt.cluster, type(said).__name__.lower()).inc()
    if any(refunds.values()):
        await shares.charge(conn, refunds)
    if full := {one.attempt.cluster for one, said in answers if retries.keeps_away(said)}:
        await clusters.mark_full(conn, sorted(full), retries.BUSY_PAUSE)


async def _apply(conn: Connection, lease: Lease, answer: SubmissionResult) -> float | None:
    """Write down an answer other than a yes; returns what its user was charged for nothing."""
    match answer:
        case Busy():
            return await _give_back(conn, lease)
        case Undelivered() | NoInputs() if not lease.unsure:
            return await _give_back(conn, lease)
        case Rejected(error):
            return await _reject(conn, lease, error)
        case Unanswered() if not lease.idempotent:
            return await _reject(conn, lease, retries.ANSWER_LOST)
        case Undelivered() | NoInputs() | Unanswered():
            await attempts.wait_for_answer(conn, lease.attempt, retries.SILENT_PAUSE)
    return None


async def _give_back(conn: Connection, lease: Lease) -> float | None:
    """Let the job wait for another try of the same attempt.

    One that may have reached the cluster once stays with it, so that a late run of it is not a second one.
    """
    charged = await attempts.give_back(conn, lease.attempt)
    if charged is not None:
        home = lease.attempt.cluster if lease.unsure else ""
        await wait_again(conn, lease.job, lease.attempt.attempt - 1, retries.BUSY_PAUSE, home=home)
    return charged


async def _reject(conn: Connection, lease: Lease, error: JobError) -> float | None:
    charged = await attempts.reject_attempt(conn, lease.attempt, error)
    if charged is not None:
        await complete(conn, lease.job, JobStatus.FAILED, utc_now(), attempt=lease.attempt, error=error)
    return charged


async def accept(conn: Connection, runs: Sequence[tuple[Attempt, str]]) -> None:
    """Clusters have these runs: their jobs have started."""
    started = await attempts.set_live(conn, runs)
    for one in started:
        WAITED.observe(one.waited)
    if started:
        able = await clusters.read_capabilities(conn, {one.attempt.cluster for one in started})
        pausing = {cluster for cluster, capabilities in able.items() if stops.can_pause(capabilities)}
        await outbox.add(conn, *(_started(one.attempt, one.job, pausing) for one in started))
        await _limit(conn, started)
    if any(one.unwanted for one in started):
        await queries.wake(conn, "stops")
    if len(started) < len(runs):
        await reconciliation.note_late_runs(conn, runs)


async def _limit(conn: Connection, started: Sequence[Started]) -> None:
    """Remember how long jobs with limits may train."""
    limited = [one for one in started if limits.has_limit(one.job)]
    if not limited:
        return
    segments = await attempts.read_segments(conn, [one.job.job_id for one in limited])
    allowed = {one.attempt.key: limits.allowance(one.job, segments[one.job.job_id]) for one in limited}
    await attempts.allow(conn, {key: allowance for key, allowance in allowed.items() if allowance})


def _started(attempt: Attempt, job: JobQueued, pausing: Collection[str]) -> JobStarted:
    return JobStarted(
        job_id=job.job_id,
        user_id=job.user_id,
        attempt=attempt.attempt,
        cluster=attempt.cluster,
        external_job_id=attempt.external_job_id or "",
        gpu=job.gpu,
        dataset_name=job.dataset.name,
        pausable=attempt.cluster in pausing,
    )
