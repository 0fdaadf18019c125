"""The SQL of downloads and deletions of finished runs, and of old events."""

from datetime import UTC, datetime
from sqlite3 import Connection

from brightrun.cluster.retention.models import FinishedRun


def record_download(conn: Connection, run_id: str, name: str, at: datetime) -> None:
    conn.execute("INSERT OR REPLACE INTO fetches VALUES (?, ?, ?)", (run_id, name, at.timestamp()))


def record_deletion(conn: Connection, run_id: str, at: datetime) -> None:
    conn.execute("INSERT OR REPLACE INTO removals VALUES (?, ?)", (run_id, at.timestamp()))


def finished_runs(conn: Connection) -> list[FinishedRun]:
    """The finished runs whose folder still exists, in the order in which they ended."""
    rows = conn.execute("""
        SELECT id, json_extract(run, '$.status.status'), json_extract(run, '$.status.finished_at'),
               json_array_length(run, '$.files'), count(fetches.name), max(fetches.at)
        FROM runs LEFT JOIN fetches ON fetches.run_id = runs.id
        WHERE NOT live AND id NOT IN (SELECT run_id FROM removals)
        GROUP BY id ORDER BY 3
        """)
    return [
        FinishedRun(
            run_id=run_id,
            status=status,
            finished_at=datetime.fromisoformat(finished_at),
            not_downloaded=files - downloads,
            downloaded_at=datetime.fromtimestamp(downloaded_at, UTC) if downloaded_at else None,
        )
        for run_id, status, finished_at, files, downloads, downloaded_at in rows
    ]


def needed_for_resuming(conn: Connection) -> frozenset[str]:
    """The runs whose checkpoints a live run starts from."""
    rows = conn.execute(
        "SELECT json_extract(run, '$.adopts') FROM runs WHERE live AND json_extract(run, '$.adopts') IS NOT NULL"
    )
    return frozenset(row[0] for row in rows)


def delete_events(conn: Connection, before: datetime, limit: int) -> int:
    """Delete up to `limit` of the oldest events that happened before; how many they were. The newest stays."""
    rows = conn.execute(
        """
        SELECT cursor, json_extract(event, '$.at') FROM events
        WHERE cursor < (SELECT max(cursor) FROM events) ORDER BY cursor LIMIT ?
        """,
        (limit,),
    )
    old = [cursor for cursor, at in rows if datetime.fromisoformat(at) < before]
    if old:
        conn.execute("DELETE FROM events WHERE cursor <= ?", (old[-1],))
    return len(old)
