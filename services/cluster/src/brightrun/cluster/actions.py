"""What happens to runs, each with the event that tells of it; run by `Store.transact`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from sqlite3 import Connection

from brightrun.cluster import admission, queries, rules
from brightrun.cluster.admission import Limits
from brightrun.cluster.models import Hardware, Room, Run
from brightrun.contracts.cluster_api import ClusterFile, RunEvent, SubmitRun
from brightrun.contracts.reports import CheckpointReport, PointsReport, Report
from brightrun.contracts.training import Checkpoint, MetricPoint
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.errors import NotFound


def submit(
    conn: Connection, request: SubmitRun, *, hardware: Hardware, room: Room, limits: Limits, adopts: str | None
) -> tuple[Run, bool]:
    """The run of this attempt, and whether it is new; the live runs of `room` are counted here.

    Raises why the cluster cannot take it.
    """
    known = queries.find_attempt(conn, request.job_id, request.attempt)
    if known:
        return known, False
    kind = request.gpu_config.type
    room = replace(room, live_runs=queries.count_live(conn))
    devices = admission.admit(request, hardware, queries.leased_devices(conn, kind), room, limits)
    run = rules.submitted(f"run_{new_id().hex}", request, devices, hardware.simulated, adopts)
    queries.insert_run(conn, run)
    queries.lease_devices(conn, run.id, kind, devices)
    return _record(conn, run), True


def change(conn: Connection, run: Run, rule: Callable[[Run], Run]) -> Run:
    """Let `rule` decide where the run stands; a finished run stays what it is."""
    changed = run if run.finished else rule(run)
    return run if changed == run else _record(conn, changed)


def hear(conn: Connection, run: Run, reports: Sequence[Report], offset: int, files: tuple[ClusterFile, ...]) -> Run:
    """Record each report as one event, and that the trainer's output up to `offset` is heard."""
    run = run.model_copy(update={"offset": offset})
    for report in reports:
        if run.finished:
            break
        now = utc_now()
        run = _record(
            conn,
            rules.hear(run, report, files, now),
            points=report.points if isinstance(report, PointsReport) else (),
            checkpoints=(Checkpoint(step=report.step, saved_at=now),) if isinstance(report, CheckpointReport) else (),
        )
    if not reports:
        queries.update_run(conn, run)
    return run


def get(conn: Connection, run_id: str) -> Run:
    """The run of this external id. Raises NotFound."""
    run = queries.find_run(conn, run_id)
    if run is None:
        raise NotFound
    return run


def read_events(conn: Connection, after: int, limit: int) -> tuple[int, bytes]:
    """How many events there are in the page after the cursor, and the page as `RunEvents` in JSON.

    A cursor from the future, of a lost database, counts as the newest.
    """
    after = min(after, queries.newest_cursor(conn))
    events = queries.events_after(conn, after, limit)
    cursor = events[-1][0] if events else after
    told = ",".join(event for _, event in events)
    return len(events), f'{{"events":[{told}],"cursor":{cursor}}}'.encode()


def _record(
    conn: Connection, run: Run, *, points: tuple[MetricPoint, ...] = (), checkpoints: tuple[Checkpoint, ...] = ()
) -> Run:
    run = run.model_copy(update={"seq": run.seq + 1})
    queries.update_run(conn, run)
    if run.finished:
        queries.free_devices(conn, run.id)
    event = RunEvent(
        cursor=0,
        event_id=new_id(),
        at=utc_now(),
        seq=run.seq,
        run=run.status,
        points=points,
        checkpoints=checkpoints,
    )
    queries.insert_event(conn, event)
    return run
