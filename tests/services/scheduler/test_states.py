"""Every statement that changes a state keeps to the transition table, whatever state a row is in."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from brightrun.contracts.training import JobError
from brightrun.runtime.database import Connection, transaction
from brightrun.scheduler import states
from brightrun.scheduler.lifecycle import queries as lifecycle
from brightrun.scheduler.lifecycle.models import ResumePoint
from brightrun.scheduler.models import Attempt
from brightrun.scheduler.queue.models import Placement, WaitingJob
from brightrun.scheduler.states import AttemptState, JobState
from brightrun.scheduler.stopping import queries as stopping
from brightrun.scheduler.submission import queries as submission
from tests.builders import NOON
from tests.services.scheduler.conftest import Scheduler

SECOND = timedelta(seconds=1)
ERROR = JobError(code="wrong", message="It is wrong.")

Statement = Callable[[Connection, Attempt], Awaitable[Any]]


def _lease(conn: Connection, attempt: Attempt) -> Awaitable[Any]:
    job = WaitingJob(attempt.job_id, attempt.user_id, "CPU", 1, "", 1, NOON, 1.0)
    return submission.lease(conn, [Placement(job, "local", 1.0)], 0.0, SECOND)


JOB_STATEMENTS: dict[states.Transition, Statement] = {
    states.LEASE_JOB: _lease,
    states.ACCEPT_JOB: lambda conn, attempt: lifecycle.accept_attempts(conn, [(attempt, "run-1")]),
    states.REQUEUE_JOB: lambda conn, attempt: lifecycle.requeue_job(
        conn, attempt.job_id, ResumePoint(), SECOND, given_back=None, lost=False
    ),
    states.PAUSE_JOB: lambda conn, attempt: lifecycle.pause_job(conn, attempt.job_id, ResumePoint(), skip_attempt=True),
    states.RESUME_JOB: lambda conn, attempt: stopping.request_resume(conn, attempt.job_id, 9),
    states.END_JOB: lambda conn, attempt: lifecycle.end_job(conn, attempt.job_id),
}
ATTEMPT_STATEMENTS: dict[states.Transition, Statement] = {
    states.LEASE_ATTEMPT: _lease,
    states.TAKE_OVER_ATTEMPT: lambda conn, attempt: submission.repeat_later(conn, attempt, SECOND),
    states.GIVE_BACK_ATTEMPT: submission.give_back,
    states.ACCEPT_ATTEMPT: lambda conn, attempt: lifecycle.accept_attempts(conn, [(attempt, "run-1")]),
    states.REJECT_ATTEMPT: lambda conn, attempt: submission.reject(conn, attempt, ERROR),
    states.END_ATTEMPT: lambda conn, attempt: lifecycle.end_attempt(conn, attempt, "failed", None),
}


async def test_statements_change_jobs_along_the_table_only(scheduler: Scheduler) -> None:
    assert set(JOB_STATEMENTS) == set(states.JOB_TRANSITIONS)
    attempt = await _leased(scheduler)
    for transition, statement in JOB_STATEMENTS.items():
        for state in JobState:
            await scheduler.pool.execute("UPDATE attempts SET state = $1", AttemptState.GIVEN_BACK)
            await scheduler.pool.execute("UPDATE queue SET state = $1, attempt = 0, pause_turn = 0", state)
            await _run(scheduler, statement, attempt)
            after = await scheduler.pool.fetchval("SELECT state FROM queue")
            assert after == (transition.target if state in transition.sources else state), (transition.name, state)


async def test_statements_change_attempts_along_the_table_only(scheduler: Scheduler) -> None:
    assert set(ATTEMPT_STATEMENTS) == set(states.ATTEMPT_TRANSITIONS)
    attempt = await _leased(scheduler)
    for transition, statement in ATTEMPT_STATEMENTS.items():
        for state in AttemptState:
            await scheduler.pool.execute("UPDATE attempts SET state = $1, fence = 1", state)
            await scheduler.pool.execute("UPDATE queue SET state = $1, attempt = 0", JobState.WAITING)
            await _run(scheduler, statement, attempt)
            after = await scheduler.pool.fetchval("SELECT state FROM attempts")
            assert after == (transition.target if state in transition.sources else state), (transition.name, state)


async def _leased(scheduler: Scheduler) -> Attempt:
    await scheduler.queue()
    [row] = await scheduler.pool.fetch("SELECT job_id, user_id FROM queue")
    attempt = Attempt(row["job_id"], row["user_id"], 1, "local", 1, AttemptState.SUBMITTING, None)
    await _run(scheduler, _lease, attempt)
    return attempt


async def _run(scheduler: Scheduler, statement: Statement, attempt: Attempt) -> None:
    async with transaction(scheduler.pool) as conn:
        await statement(conn, attempt)
