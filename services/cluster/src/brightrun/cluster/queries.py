"""All SQL of the cluster's database. Runs and events are JSON documents; columns are what they are searched by."""

from datetime import UTC, datetime
from sqlite3 import Connection
from uuid import UUID

from brightrun.cluster.models import Leftover, Run
from brightrun.contracts.cluster_api import RunEvent, RunSummary

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
    CREATE TABLE IF NOT EXISTS leases (
        gpu_type TEXT NOT NULL,
        device   INTEGER NOT NULL,
        run_id   TEXT NOT NULL REFERENCES runs (id),
        PRIMARY KEY (gpu_type, device)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS leases_of_run ON leases (run_id);
    INSERT OR IGNORE INTO leases (gpu_type, device, run_id)
        SELECT json_extract(run, '$.request.gpu_config.type'), device.value, runs.id
        FROM runs, json_each(run, '$.devices') AS device WHERE live;
    CREATE TABLE IF NOT EXISTS fetches (
        run_id TEXT NOT NULL REFERENCES runs (id),
        name   TEXT NOT NULL,
        at     REAL NOT NULL,
        PRIMARY KEY (run_id, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS removals (
        run_id TEXT PRIMARY KEY REFERENCES runs (id),
        at     REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
"""
EVENT_PREFIX = '{"cursor":0,'


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


def lease_devices(conn: Connection, run_id: str, gpu_type: str, devices: tuple[int, ...]) -> None:
    """Give devices to a run; IntegrityError if another has one of them."""
    conn.executemany(
        "INSERT INTO leases (gpu_type, device, run_id) VALUES (?, ?, ?)",
        [(gpu_type, device, run_id) for device in devices],
    )


def free_devices(conn: Connection, run_id: str) -> None:
    """Take its devices back from a run."""
    conn.execute("DELETE FROM leases WHERE run_id = ?", (run_id,))


def leased_devices(conn: Connection, gpu_type: str) -> frozenset[int]:
    """The devices of this type that live runs have."""
    return frozenset(row[0] for row in conn.execute("SELECT device FROM leases WHERE gpu_type = ?", (gpu_type,)))


def count_leases(conn: Connection) -> dict[str, int]:
    """How many devices of each type live runs have."""
    return dict(conn.execute("SELECT gpu_type, count(*) FROM leases GROUP BY gpu_type").fetchall())


def live_run_ids(conn: Connection) -> frozenset[str]:
    """The runs that are not finished."""
    return frozenset(row[0] for row in conn.execute("SELECT id FROM runs WHERE live"))


def count_live(conn: Connection) -> int:
    """How many runs are not finished."""
    live: int = conn.execute("SELECT count(*) FROM runs WHERE live").fetchone()[0]
    return live


def list_runs(
    conn: Connection, *, job_id: UUID | None, attempt: int | None, live: bool | None, limit: int, offset: int
) -> tuple[list[RunSummary], int]:
    """The runs that fit what is given, newest first: one page and how many there are in all."""
    filters = (
        "FROM runs WHERE (:job_id IS NULL OR job_id = :job_id) AND (:attempt IS NULL OR attempt = :attempt)"
        " AND (:live IS NULL OR live = :live)"
    )
    values = {"job_id": job_id and str(job_id), "attempt": attempt, "live": live, "limit": limit, "offset": offset}
    total: int = conn.execute(f"SELECT count(*) {filters}", values).fetchone()[0]
    columns = "id, job_id, attempt, json_extract(run, '$.status.status'), live"
    rows = conn.execute(f"SELECT {columns} {filters} ORDER BY id DESC LIMIT :limit OFFSET :offset", values)
    return [
        RunSummary(external_job_id=run_id, job_id=UUID(of_job), attempt=number, status=status, live=bool(is_live))
        for run_id, of_job, number, status, is_live in rows
    ], total


def newest_cursor(conn: Connection) -> int:
    """The cursor of the last event; 0 before the first."""
    cursor: int = conn.execute("SELECT coalesce(max(cursor), 0) FROM events").fetchone()[0]
    return cursor


def events_after(conn: Connection, cursor: int, limit: int) -> list[tuple[int, str]]:
    """The cursors and the JSON of the events that follow `cursor`, oldest first."""
    rows = conn.execute("SELECT cursor, event FROM events WHERE cursor > ? ORDER BY cursor LIMIT ?", (cursor, limit))
    return [(number, f'{{"cursor":{number},{event.removeprefix(EVENT_PREFIX)}') for number, event in rows]


def delete_events(conn: Connection, before: datetime, limit: int) -> int:
    """Forget the oldest events, up to `limit` of those that happened before; how many they were. The newest stays."""
    rows = conn.execute("SELECT cursor, json_extract(event, '$.at') FROM events ORDER BY cursor LIMIT ?", (limit,))
    newest = newest_cursor(conn)
    old = [cursor for cursor, at in rows if cursor < newest and datetime.fromisoformat(at) < before]
    if old:
        conn.execute("DELETE FROM events WHERE cursor <= ?", (old[-1],))
    return len(old)


def record_fetch(conn: Connection, run_id: str, name: str, at: datetime) -> None:
    """Remember that a file of a run was fetched."""
    conn.execute("INSERT OR REPLACE INTO fetches VALUES (?, ?, ?)", (run_id, name, at.timestamp()))


def record_removal(conn: Connection, run_id: str, at: datetime) -> None:
    """Remember that the folder of a run is gone."""
    conn.execute("INSERT OR REPLACE INTO removals VALUES (?, ?)", (run_id, at.timestamp()))


def leftovers(conn: Connection) -> list[Leftover]:
    """The finished runs whose folder is still there, those that ended first at the front."""
    rows = conn.execute("""
        SELECT id, json_extract(run, '$.status.status'), json_extract(run, '$.status.finished_at'),
               json_array_length(run, '$.files'), count(fetches.name), max(fetches.at)
        FROM runs LEFT JOIN fetches ON fetches.run_id = runs.id
        WHERE NOT live AND id NOT IN (SELECT run_id FROM removals)
        GROUP BY id ORDER BY 3
        """)
    return [
        Leftover(
            run_id=run_id,
            status=status,
            finished_at=datetime.fromisoformat(finished_at),
            unfetched=files - fetched,
            fetched_at=datetime.fromtimestamp(fetched_at, UTC) if fetched_at else None,
        )
        for run_id, status, finished_at, files, fetched, fetched_at in rows
    ]


def needed_for_resuming(conn: Connection) -> frozenset[str]:
    """The runs whose checkpoints a live run starts with."""
    rows = conn.execute(
        "SELECT json_extract(run, '$.adopts') FROM runs WHERE live AND json_extract(run, '$.adopts') IS NOT NULL"
    )
    return frozenset(row[0] for row in rows)
