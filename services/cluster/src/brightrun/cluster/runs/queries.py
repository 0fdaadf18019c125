"""The SQL of runs, of their events, and of the devices that they lease."""

from sqlite3 import Connection, IntegrityError
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from brightrun.cluster.models import Run
from brightrun.contracts.cluster_api import RunEvent, RunSummary


class RunFilters(BaseModel):
    """Which runs to list, and which page of them."""

    job_id: UUID | None = None
    attempt: Annotated[int, Field(ge=1)] | None = None
    live: bool | None = None
    page: Annotated[int, Field(ge=1)] = 1
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


EVENT_PREFIX = '{"cursor":0,'


def insert_run(conn: Connection, run: Run) -> None:
    conn.execute(
        "INSERT INTO runs (id, job_id, attempt, live, run) VALUES (?, ?, ?, 1, ?)",
        (run.id, str(run.request.job_id), run.request.attempt, run.model_dump_json()),
    )


def update_run(conn: Connection, run: Run) -> None:
    conn.execute("UPDATE runs SET live = ?, run = ? WHERE id = ?", (not run.finished, run.model_dump_json(), run.id))


def insert_event(conn: Connection, event: RunEvent) -> None:
    """Append an event, which gets its cursor here."""
    conn.execute(
        "INSERT INTO events (run_id, seq, event) VALUES (?, ?, ?)",
        (event.run.external_job_id, event.seq, event.model_dump_json()),
    )


def find_run(conn: Connection, run_id: str) -> Run | None:
    row = conn.execute("SELECT run FROM runs WHERE id = ?", (run_id,)).fetchone()
    return Run.model_validate_json(row[0]) if row else None


def find_attempt(conn: Connection, job_id: UUID, attempt: int) -> Run | None:
    row = conn.execute("SELECT run FROM runs WHERE (job_id, attempt) = (?, ?)", (str(job_id), attempt)).fetchone()
    return Run.model_validate_json(row[0]) if row else None


def live_runs(conn: Connection) -> list[Run]:
    """The runs that are not finished, oldest first."""
    return [Run.model_validate_json(row[0]) for row in conn.execute("SELECT run FROM runs WHERE live ORDER BY id")]


def free_devices(conn: Connection, gpu_type: str, count: int, total: int) -> tuple[int, ...]:
    """The first `count` free ones of `total` devices: those that were freed, then those that no run has had yet."""
    freed = conn.execute(
        "SELECT device FROM devices WHERE gpu_type = ? AND run_id IS NULL AND device < ? ORDER BY device LIMIT ?",
        (gpu_type, total, count),
    )
    devices = [row[0] for row in freed]
    unused: int = conn.execute(
        "SELECT coalesce(max(device) + 1, 0) FROM devices WHERE gpu_type = ?", (gpu_type,)
    ).fetchone()[0]
    return (*devices, *range(unused, min(total, unused + count - len(devices))))


def lease_devices(conn: Connection, run_id: str, gpu_type: str, devices: tuple[int, ...]) -> None:
    """Raises IntegrityError if another run has one of them."""
    leased = conn.executemany(
        """
        INSERT INTO devices (gpu_type, device, run_id) VALUES (?, ?, ?)
        ON CONFLICT DO UPDATE SET run_id = excluded.run_id WHERE devices.run_id IS NULL
        """,
        [(gpu_type, device, run_id) for device in devices],
    )
    if leased.rowcount < len(devices):
        raise IntegrityError("another run has one of the devices")
    _count_usage(conn, gpu_type, len(devices), 1)


def release_devices(conn: Connection, run_id: str, gpu_type: str) -> None:
    """Once, when the run has ended."""
    released = conn.execute("UPDATE devices SET run_id = NULL WHERE run_id = ?", (run_id,))
    _count_usage(conn, gpu_type, -released.rowcount, -1)


def _count_usage(conn: Connection, gpu_type: str, devices: int, runs: int) -> None:
    conn.execute(
        """
        INSERT INTO usage VALUES (?, ?, ?)
        ON CONFLICT DO UPDATE SET leased = leased + excluded.leased, live_runs = live_runs + excluded.live_runs
        """,
        (gpu_type, devices, runs),
    )


def count_leases(conn: Connection) -> dict[str, int]:
    return dict(conn.execute("SELECT gpu_type, leased FROM usage WHERE leased > 0").fetchall())


def count_live_runs(conn: Connection) -> int:
    live: int = conn.execute("SELECT coalesce(sum(live_runs), 0) FROM usage").fetchone()[0]
    return live


def live_run_ids(conn: Connection) -> frozenset[str]:
    return frozenset(row[0] for row in conn.execute("SELECT id FROM runs WHERE live"))


def list_runs(conn: Connection, filters: RunFilters) -> tuple[list[RunSummary], int]:
    """A page of the runs that match the filters, newest first, and how many match in all."""
    matching = (
        "FROM runs WHERE (:job_id IS NULL OR job_id = :job_id) AND (:attempt IS NULL OR attempt = :attempt)"
        " AND (:live IS NULL OR live = :live)"
    )
    values = filters.model_dump(mode="json") | {"offset": (filters.page - 1) * filters.limit}
    total: int = conn.execute(f"SELECT count(*) {matching}", values).fetchone()[0]
    columns = "id, job_id, attempt, json_extract(run, '$.status.status'), live"
    rows = conn.execute(f"SELECT {columns} {matching} ORDER BY id DESC LIMIT :limit OFFSET :offset", values)
    return [
        RunSummary(external_job_id=run_id, job_id=UUID(job_id), attempt=attempt, status=status, live=bool(live))
        for run_id, job_id, attempt, status, live in rows
    ], total


def newest_cursor(conn: Connection) -> int:
    """The cursor of the last event; 0 before the first."""
    cursor: int = conn.execute("SELECT coalesce(max(cursor), 0) FROM events").fetchone()[0]
    return cursor


def read_events(conn: Connection, after: int, limit: int) -> tuple[int, bytes]:
    """How many events there are in the page after the cursor, oldest first, and the page as `RunEvents` in JSON.

    A cursor from the future, of a lost database, counts as the newest.
    """
    after = min(after, newest_cursor(conn))
    rows = conn.execute(
        "SELECT cursor, event FROM events WHERE cursor > ? ORDER BY cursor LIMIT ?", (after, limit)
    ).fetchall()
    events = ",".join(f'{{"cursor":{cursor},{event.removeprefix(EVENT_PREFIX)}' for cursor, event in rows)
    return len(rows), f'{{"events":[{events}],"cursor":{rows[-1][0] if rows else after}}}'.encode()
