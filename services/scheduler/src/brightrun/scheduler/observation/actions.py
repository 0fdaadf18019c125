"""What clusters report of their runs is applied."""

from collections.abc import Sequence

from brightrun.contracts.cluster_api import RunEvent
from brightrun.contracts.values import utc_now
from brightrun.runtime import outbox
from brightrun.runtime.database import Connection
from brightrun.scheduler.lifecycle.actions import accept_attempts, end_attempts, lose_attempt
from brightrun.scheduler.lifecycle.queries import lock_attempts
from brightrun.scheduler.observation import queries
from brightrun.scheduler.observation.models import DueRun, PollResult
from brightrun.scheduler.observation.rules import polling, stream


async def apply_events(conn: Connection, cluster: str, events: Sequence[RunEvent], max_attempts: int) -> None:
    """Apply a cluster's events: runs that were accepted, how far they are, and runs that are over."""
    runs = {run.attempt.key: run for run in await queries.find_runs(conn, cluster, stream.keys_of(events))}
    attempts = {key: run.attempt for key, run in runs.items()}
    accepted, ended = stream.accepted_by(events, attempts), stream.ended_by(events, attempts)
    updated = stream.updates_of(events, runs, utc_now())
    changing = {attempt.key for attempt, _ in (*accepted, *ended)} | {run.attempt.key for run in updated}
    if changing:
        await lock_attempts(conn, changing)
    if accepted:
        await accept_attempts(conn, accepted)
    if updated:
        await queries.save_runs(conn, updated)
    if ended:
        await end_attempts(conn, ended, max_attempts)


async def apply_poll(conn: Connection, due: DueRun, result: PollResult, live: int, max_attempts: int) -> None:
    """Apply a response about a run's status, unless another scheduler has: the run's next event is made once."""
    pause = polling.pause(result.state, live, stopping=due.stopping)
    if not await queries.save_poll(conn, due, result.state, pause):
        return
    if result.event:
        if progress := stream.progress_of([result.event], {due.attempt.key: due.attempt}):
            await outbox.add(conn, *progress)
        await apply_events(conn, due.attempt.cluster, [result.event], max_attempts)
    if result.lost:
        await lose_attempt(conn, due.attempt, result.lost, max_attempts)
