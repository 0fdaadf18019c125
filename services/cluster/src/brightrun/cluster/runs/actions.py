"""Changes of runs, each with its event; run by `Store.transact`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from sqlite3 import Connection

from brightrun.cluster.models import FreeResources, Hardware, ResourceLimits, Run
from brightrun.cluster.runs import admission, queries, rules
from brightrun.contracts.cluster_api import ClusterFile, RunEvent, RunStatus, SubmitRun
from brightrun.contracts.reports import CheckpointReport, PointsReport, Report
from brightrun.contracts.training import Checkpoint, MetricPoint
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.errors import NotFound


def submit(
    conn: Connection,
    request: SubmitRun,
    *,
    hardware: Hardware,
    free: FreeResources,
    limits: ResourceLimits,
    resumed: RunStatus | None,
) -> tuple[Run, bool]:
    """The run of this attempt, and whether it is new; the live runs of `free` are counted here.

    `resumed`: the run from whose checkpoints it goes on.
    Raises why the cluster cannot take it.
    """
    existing = queries.find_attempt(conn, request.job_id, request.attempt)
    if existing:
        return existing, False
    kind = request.gpu_config.type
    free = replace(free, live_runs=queries.count_live_runs(conn))
    admission.admit(request, hardware, queries.count_leases(conn).get(kind, 0), free, limits)
    devices = queries.free_devices(conn, kind, request.gpu_config.count, hardware.gpus[kind])
    run = rules.submitted(f"run_{new_id().hex}", request, devices, hardware.simulated, resumed)
    queries.insert_run(conn, run)
    queries.lease_devices(conn, run.id, kind, devices)
    return _record(conn, run), True


def change(conn: Connection, run: Run, rule: Callable[[Run], Run]) -> Run:
    """Apply `rule`; a finished run stays what it is."""
    changed = run if run.finished else rule(run)
    return run if changed == run else _record(conn, changed)


def record_reports(
    conn: Connection, run: Run, reports: Sequence[Report], offset: int, files: tuple[ClusterFile, ...]
) -> Run:
    """Record each report as one event, and that the trainer's output is read up to `offset`."""
    run = run.model_copy(update={"offset": offset})
    for report in reports:
        if run.finished:
            break
        now = utc_now()
        run = _record(
            conn,
            rules.apply_report(run, report, files, now),
            points=report.points if isinstance(report, PointsReport) else (),
            checkpoints=(Checkpoint(step=report.step, saved_at=now),) if isinstance(report, CheckpointReport) else (),
        )
    if not reports:
        queries.update_run(conn, run)
    return run


def get_run(conn: Connection, run_id: str) -> Run:
    """Raises NotFound."""
    run = queries.find_run(conn, run_id)
    if run is None:
        raise NotFound
    return run


def _record(
    conn: Connection, run: Run, *, points: tuple[MetricPoint, ...] = (), checkpoints: tuple[Checkpoint, ...] = ()
) -> Run:
    run = run.model_copy(update={"seq": run.seq + 1})
    queries.update_run(conn, run)
    if run.finished:
        queries.release_devices(conn, run.id, run.request.gpu_config.type)
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
