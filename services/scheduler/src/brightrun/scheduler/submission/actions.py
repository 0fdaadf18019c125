"""Attempts are leased, and what clusters responded to their submissions is applied."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from prometheus_client import Counter

from brightrun.cluster_client.responses import Accepted, Busy, Rejected, Unanswered, Undelivered
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.runtime.database import Connection
from brightrun.scheduler.clusters.models import ClusterReport
from brightrun.scheduler.clusters.queries import mark_full, read_reports
from brightrun.scheduler.clusters.rules import MAX_SILENCE, free_gpus_of
from brightrun.scheduler.lifecycle.actions import ANYWHERE, accept_attempts, complete_job, requeue_job
from brightrun.scheduler.lifecycle.models import ResumePoint
from brightrun.scheduler.lifecycle.queries import charge_users, lock_attempts
from brightrun.scheduler.queue.queries import count_bypasses, read_heads
from brightrun.scheduler.queue.rules import fairness
from brightrun.scheduler.submission import queries, rules
from brightrun.scheduler.submission.models import Lease, NoInputs, SubmissionResult

LEASES = Counter("brightrun_leases_total", "Attempts leased to be submitted.", ["cluster", "kind"])
SUBMISSIONS = Counter("brightrun_submissions_total", "Submissions, by the clusters' responses.", ["cluster", "outcome"])


async def take_over(conn: Connection, slots: Mapping[str, int]) -> Sequence[Lease]:
    """Take submissions whose holders are gone; `slots`: how many each cluster may be sent now."""
    usable = {report.name: slots[report.name] for report in await _usable(conn, slots)}
    leases = await queries.take_over(conn, usable, rules.LEASE) if any(usable.values()) else []
    _count(leases, "lapsed")
    return leases


async def lease(conn: Connection, slots: Mapping[str, int], default_quota: int | None) -> Sequence[Lease]:
    """Lease what fairness puts next, at most `slots` for each cluster.

    The caller holds the queue's lock, which makes quotas hold: the next decision sees what was leased here.
    """
    free_gpus = free_gpus_of(await _usable(conn, slots))
    if not any(free.free > 0 and slots[free.cluster] > 0 for free in free_gpus):
        return []
    heads = await read_heads(conn, max(slots.values()), default_quota)
    if not heads.jobs:
        return []
    plan = fairness.Planner(heads.jobs, heads.shares, free_gpus, heads.clock, slots, heads.visible).plan()
    if plan.bypassed:
        await count_bypasses(conn, plan.bypassed)
    leases = await queries.lease(conn, plan.placements, plan.clock, rules.LEASE) if plan.placements else []
    _count(leases, "fresh")
    return leases


async def _usable(conn: Connection, slots: Mapping[str, int]) -> list[ClusterReport]:
    return [report for report in await read_reports(conn, slots, MAX_SILENCE) if report.usable]


def _count(leases: Sequence[Lease], kind: str) -> None:
    for lease in leases:
        LEASES.labels(lease.attempt.cluster, kind).inc()


async def apply_submissions(conn: Connection, submissions: Sequence[tuple[Lease, SubmissionResult]]) -> None:
    """Apply what clusters responded. Unanswered submissions are repeated by the next holder of their leases."""
    accepted = [
        (lease.attempt, submission.external_job_id)
        for lease, submission in submissions
        if isinstance(submission, Accepted)
    ]
    if len(accepted) < len(submissions):
        await lock_attempts(conn, [lease.attempt.key for lease, _ in submissions])
    if accepted:
        await accept_attempts(conn, accepted)
    refunds: dict[UUID, float] = defaultdict(float)
    for lease, submission in submissions:
        refunds[lease.attempt.user_id] -= await _apply(conn, lease, submission) or 0.0
        SUBMISSIONS.labels(lease.attempt.cluster, type(submission).__name__.lower()).inc()
    if any(refunds.values()):
        await charge_users(conn, refunds)
    if full := {lease.attempt.cluster for lease, submission in submissions if rules.needs_pause(submission)}:
        await mark_full(conn, sorted(full), rules.BUSY_PAUSE)


async def _apply(conn: Connection, lease: Lease, submission: SubmissionResult) -> float | None:
    """Apply any other response than an acceptance; returns what its user was charged in vain."""
    match submission:
        case Busy():
            return await _give_back(conn, lease)
        case NoInputs() | Undelivered() if not lease.maybe_delivered:
            return await _give_back(conn, lease)
        case Rejected(error):
            return await _reject(conn, lease, error)
        case Unanswered() if not lease.idempotent:
            return await _reject(conn, lease, rules.ANSWER_LOST)
        case NoInputs() | Undelivered() | Unanswered():
            await queries.repeat_later(conn, lease.attempt, rules.UNANSWERED_PAUSE)
    return None


async def _give_back(conn: Connection, lease: Lease) -> float | None:
    """Let the job wait for another try of the same attempt.

    One that may have reached the cluster once stays with it, so that a late run of it is not a second one.
    """
    charged = await queries.give_back(conn, lease.attempt)
    if charged is not None:
        resume = ResumePoint(lease.attempt.cluster) if lease.maybe_delivered else ANYWHERE
        await requeue_job(conn, lease.job, rules.BUSY_PAUSE, resume, given_back=lease.attempt.attempt)
    return charged


async def _reject(conn: Connection, lease: Lease, error: JobError) -> float | None:
    charged = await queries.reject(conn, lease.attempt, error)
    if charged is not None:
        await complete_job(conn, lease.job, JobStatus.FAILED, attempt=lease.attempt, error=error)
    return charged
