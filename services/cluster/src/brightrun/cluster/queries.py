"""All SQL of the cluster's database. Runs and events are JSON documents; columns are what they are searched by."""

from collections.abc import Sequence
from sqlite3 import Connection
from uuid import UUID

from brightrun.cluster.models import Run
from brightrun.contracts.cluster_api import RunEvent

SCHEMA = """
    CREATE TABLE IF NOT EXISTS runs (
        id      TEXT PRIMARY KEY,
        job_id  TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        live    INTEGER NOT NULL,
        run     TEXT NOT NULL,
        UNIQUE (job_id, attempt)
    ) STRICT;
    CREATE INDEX IF NOT EXISTS live_runs ON runs (id) WHERE live;
    CREATE TABLE IF NOT EXISTS events (
        cursor INTEGER PRIMARY KEY AUTOINCREMENT,
        run_id TEXT NOT NULL REFERENCES runs (id),
        seq    INTEGER NOT NULL,
        event  TEXT NOT NULL,
        UNIQUE (run_id, seq)
    ) STRICT;
"""


def insert_run(conn: Connection, run: Run) -> None:
    """Remember a new run."""
    conn.execute(
        "INSERT INTO runs (id, job_id, attempt, live, run) VALUES (?, ?, ?, 1, ?)",
        (run.id, str(run.request.job_id), run.request.attempt, run.model_dump_json()),
    )


def update_run(conn: Connection, run: Run) -> None:
    """Remember where the run stands now."""
    conn.execute("UPDATE runs SET live = ?, run = ? WHERE id = ?", (not run.finished, run.model_dump_json(), run.id))


def insert_event(conn: Connection, event: RunEvent) -> None:
    """Append to the cluster's history; the cursor is given here."""
    conn.execute(
        "INSERT INTO events (run_id, seq, event) VALUES (?, ?, ?)",
        (event.run.external_job_id, event.seq, event.model_dump_json()),
    )


def find_run(conn: Connection, run_id: str) -> Run | None:
    """The run of this external id."""
    row = conn.execute("SELECT run FROM runs WHERE id = ?", (run_id,)).fetchone()
    return Run.model_validate_json(row[0]) if row else None


def find_attempt(conn: Connection, job_id: UUID, attempt: int) -> Run | None:
    """The run of this attempt of this job."""
    row = conn.execute("SELECT run FROM runs WHERE (job_id, attempt) = (?, ?)", (str(job_id), attempt)).fetchone()
    return Run.model_validate_json(row[0]) if row else None


def live_runs(conn: Connection) -> list[Run]:
    """The runs that are not finished, oldest first."""
    return [Run.model_validate_json(row[0]) for row in conn.execute("SELECT run FROM runs WHERE live ORDER BY id")]


def taken_devices(conn: Connection) -> frozenset[int]:
    """The devices that live runs have."""
    rows = conn.execute("SELECT device.value FROM runs, json_each(run, '$.devices') AS device WHERE live")
    return frozenset(row[0] for row in rows)


def list_runs(
    conn: Connection, *, job_id: UUID | None, attempt: int | None, live: bool | None, limit: int, offset: int
) -> tuple[list[Run], int]:
    """The runs that fit what is given, newest first: one page and how many there are in all."""
    filters = (
        "FROM runs WHERE (:job_id IS NULL OR job_id = :job_id) AND (:attempt IS NULL OR attempt = :attempt)"
        " AND (:live IS NULL OR live = :live)"
    )
    values = {"job_id": job_id and str(job_id), "attempt": attempt, "live": live, "limit": limit, "offset": offset}
    total: int = conn.execute(f"SELECT count(*) {filters}", values).fetchone()[0]
    rows = conn.execute(f"SELECT run {filters} ORDER BY id DESC LIMIT :limit OFFSET :offset", values)
    return [Run.model_validate_json(row[0]) for row in rows], total


def newest_cursor(conn: Connection) -> int:
    """The cursor of the last event; 0 before the first."""
    cursor: int = conn.execute("SELECT coalesce(max(cursor), 0) FROM events").fetchone()[0]
    return cursor


def events_after(conn: Connection, cursor: int, limit: int) -> Sequence[RunEvent]:
    """The events that follow `cursor`, oldest first."""
    rows = conn.execute("SELECT cursor, event FROM events WHERE cursor > ? ORDER BY cursor LIMIT ?", (cursor, limit))
    return [RunEvent.model_validate_json(row[1]).model_copy(update={"cursor": row[0]}) for row in rows]
