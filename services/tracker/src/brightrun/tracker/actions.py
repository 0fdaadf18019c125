"""What the tracker does with facts, and how it answers for a job."""

from collections.abc import Sequence
from uuid import UUID

from brightrun.contracts.events import JobProgress
from brightrun.contracts.training import MetricPoint
from brightrun.runtime.database import Connection
from brightrun.runtime.errors import NotFound
from brightrun.tracker import queries, rules
from brightrun.tracker.models import Entry


async def record_fact(conn: Connection, fact: rules.Fact) -> None:
    """Log `fact` and enter what it costs."""
    await queries.remember_owners(conn, [(fact.job_id, fact.user_id)])
    await _log(conn, [rules.entry_of(fact)])
    if cost := rules.cost_of(fact):
        await queries.insert_cost(conn, cost)


async def record_progress(conn: Connection, events: Sequence[JobProgress]) -> None:
    """Store the points of `events` and log the stages that they enter."""
    await queries.remember_owners(conn, [(event.job_id, event.user_id) for event in events])
    await queries.insert_chunks(conn, [rules.chunk_of(event) for event in events if event.points])
    await _log(conn, rules.stages_of(events))


async def _log(conn: Connection, entries: Sequence[Entry]) -> None:
    """Append what the log does not hold, one transaction a job at a time.

    So the ids of a job's entries become visible in their order, and a reader's cursor never passes one still to come.
    """
    unlogged = await queries.find_unlogged(conn, entries)
    if unlogged:
        await queries.lock_jobs(conn, {job_id for job_id, _ in unlogged})
        await queries.insert_entries(conn, [entry for entry in entries if (entry.job_id, entry.source) in unlogged])


async def require_owner(conn: Connection, job_id: UUID, user_id: UUID) -> None:
    """Raises `NotFound` for a job that no event has named yet, or that is another user's."""
    if not await queries.is_owner(conn, job_id, user_id):
        raise NotFound


async def draw_curve(conn: Connection, job_id: UUID, first: int, last: int, max_points: int) -> list[MetricPoint]:
    """The at most `max_points` points from step `first` to `last` that keep the shape of the job's curve."""
    curve = await queries.load_curve(conn, job_id, first, last)
    return await queries.load_points(conn, job_id, curve, rules.worth_drawing(curve, first, last, max_points))
