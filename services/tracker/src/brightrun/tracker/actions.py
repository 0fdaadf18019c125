"""Events are recorded, curves summarized and drawn."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from brightrun.contracts.events import JobDeleted, JobLogged, JobProgress
from brightrun.runtime import outbox
from brightrun.runtime.database import Connection
from brightrun.runtime.errors import NotFound
from brightrun.tracker.models import HIGHEST_STEP, Curve, Entry
from brightrun.tracker.queries import checkpoints, curves, jobs, ledger, log
from brightrun.tracker.rules import curves as shapes
from brightrun.tracker.rules import log_entries, summaries
from brightrun.tracker.rules.summaries import POLICY, SummaryPolicy

CHUNKS_AT_ONCE = 4000


async def record_event(conn: Connection, event: log_entries.LoggedEvent) -> None:
    """Log the event, unless its job is deleted, and enter what it costs, even if the job is."""
    owners = await jobs.lock_owners(conn, [(event.job_id, event.user_id)])
    if owners:
        await _log(conn, owners, [log_entries.entry_of(event)])
    for cost in log_entries.costs_of(event):
        await ledger.insert_cost(conn, cost)


async def record_progress(conn: Connection, events: Sequence[JobProgress], policy: SummaryPolicy = POLICY) -> None:
    """Store the points, checkpoints and stages of `events`, except for deleted jobs.

    Kafka may deliver a job's end before its last progress. No stage is logged after the end: streams stop there.
    """
    owners = await jobs.lock_owners(conn, [(event.job_id, event.user_id) for event in events])
    events = [event for event in events if event.job_id in owners]
    chunks = [shapes.chunk_of(event) for event in events if event.points]
    await curves.insert_chunks(conn, chunks)
    lacking = await curves.drop_summaries(conn, chunks)
    grown = {(event.job_id, event.attempt) for event in events if event.seq % policy.check_each == 0}
    await curves.mark_due(conn, lacking | grown)
    await checkpoints.insert_checkpoints(conn, events)
    ended = await log.find_ended(conn, owners)
    live = [event for event in events if event.job_id not in ended]
    await _log(conn, owners, [*log_entries.stages_of(live), *log_entries.metrics_of(live)])


async def _log(conn: Connection, owners: Mapping[UUID, UUID], entries: Sequence[Entry]) -> None:
    """Log the entries that the log does not hold. The caller holds the locks of their jobs.

    Topics are not ordered between each other: an entry that comes before the one that it follows is held until then.
    """
    missing = await log.find_unlogged(conn, entries)
    fresh: Sequence[Entry] = [entry for entry in entries if (entry.job_id, entry.source) in missing]
    while fresh:
        awaited = [(entry.job_id, entry.follows) for entry in fresh if entry.follows]
        known = await log.find_logged(conn, awaited)
        ready: list[Entry] = []
        for entry in fresh:
            if entry.follows is None or (entry.job_id, entry.follows) in known:
                ready.append(entry)
                known.add((entry.job_id, entry.source))
        await log.hold_entries(conn, [entry for entry in fresh if (entry.job_id, entry.source) not in known])
        await _append(conn, owners, ready)
        fresh = await log.take_held(conn, ready)


async def _append(conn: Connection, owners: Mapping[UUID, UUID], fresh: Sequence[Entry]) -> None:
    """Append the entries and publish them.

    Ids of a job's entries become visible in their order, and a reader's cursor never skips one.
    """
    if not fresh:
        return
    newest = await log.find_newest_ids(conn, {entry.job_id for entry in fresh})
    for entry, entry_id in zip(fresh, await log.insert_entries(conn, fresh), strict=True):
        await outbox.add(
            conn,
            JobLogged(
                occurred_at=entry.occurred_at,
                job_id=entry.job_id,
                user_id=owners[entry.job_id],
                id=entry_id,
                previous_id=newest.get(entry.job_id, 0),
                type=entry.type,
                level=entry.level,
                message=entry.message,
                data=entry.data,
            ),
        )
        newest[entry.job_id] = entry_id


async def forget_job(conn: Connection, event: JobDeleted) -> None:
    """Delete the job's curve, checkpoints and log; from now on only its costs are kept."""
    await jobs.lock_owners(conn, [(event.job_id, event.user_id)])
    await jobs.mark_deleted(conn, event.job_id)
    await curves.delete_curve(conn, event.job_id)
    await log.delete_entries(conn, event.job_id)


async def summarize(conn: Connection, policy: SummaryPolicy = POLICY) -> bool:
    """Make summaries of one curve where it lacks some; False if no curve does."""
    due = await curves.find_due(conn)
    if due is None:
        return False
    job_id, attempt = due
    await jobs.lock_job(conn, job_id)
    await curves.take_due(conn, job_id, attempt)
    spans = [span for span in await curves.list_spans(conn, job_id) if span.attempt == attempt]
    for gap in summaries.gaps(spans, (attempt, 0), (attempt + 1, 0)):
        chunks = await curves.load_chunks(conn, job_id, [gap], 0, HIGHEST_STEP, limit=CHUNKS_AT_ONCE)
        await curves.insert_summaries(conn, list(summaries.summaries_of(chunks, gap.after[1], policy)))
        if len(chunks) == CHUNKS_AT_ONCE:
            await curves.mark_due(conn, [due])
    return True


async def require_owner(conn: Connection, job_id: UUID, user_id: UUID) -> None:
    """Raises `NotFound` for a job that no event has named yet, that is deleted, or that is another user's."""
    if not await jobs.is_owner(conn, job_id, user_id):
        raise NotFound


async def draw_curve(conn: Connection, job_id: UUID, first: int, last: int, max_points: int) -> Curve:
    """The at most `max_points` points from step `first` to `last` that keep the shape of the job's curve.

    All statements must see the same moment: what is read as a summary must not be read as chunks, or not at all.
    """
    spans = await curves.list_spans(conn, job_id)
    chunks = await curves.load_chunks(conn, job_id, summaries.gaps(spans), first, last)
    enough, lacking = summaries.split_spans(spans, chunks, first, last, max_points)
    chunks += await curves.load_chunks(conn, job_id, [summaries.events_of(span) for span in lacking], first, last)
    if enough:
        chosen = {(span.attempt, span.seq) for span in enough}
        loaded = await curves.load_summaries(conn, job_id, first, last)
        chunks += [chunk for chunk in loaded if (chunk.attempt, chunk.seq) in chosen]
    curve = shapes.curve_of(chunks)
    return shapes.points_at(curve, shapes.worth_drawing(curve, first, last, max_points))
