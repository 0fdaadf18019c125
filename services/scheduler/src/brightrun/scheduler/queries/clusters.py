"""Clusters: what they last said of themselves, who may be sent to them, and how far their streams were heard."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from brightrun.contracts.cluster_api import Capabilities
from brightrun.runtime.database import Connection, Pool
from brightrun.scheduler.models import ClusterReport, ClusterState
from brightrun.scheduler.models import Pool as Gpus

USABLE = "drained_at IS NULL AND answered_at > now() - $2::interval AND (full_until IS NULL OR full_until < now())"

TAKEN = """
    SELECT cluster, gpu_type, sum(gpus)::int AS gpus FROM (
        SELECT cluster, gpu_type, gpus FROM attempts WHERE state = 'submitting' AND cluster = ANY($1)
        UNION ALL
        SELECT a.cluster, a.gpu_type, a.gpus FROM clusters c
        JOIN attempts a ON a.cluster = c.name AND a.state = 'live' AND a.accepted_at >= c.asked_at
        WHERE c.name = ANY($1)) uncounted
    GROUP BY 1, 2
"""
"""GPUs that a cluster had not counted as used when it was last asked, or may not have."""


async def add_clusters(conn: Connection, names: Sequence[str]) -> None:
    """Make the clusters known; those that are, stay as they are."""
    await conn.execute("INSERT INTO clusters (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", names)


async def read_reports(conn: Connection | Pool, names: Sequence[str], silence: timedelta) -> list[ClusterReport]:
    """What can be said of the clusters now; one that was silent for `silence` is not used."""
    rows = await conn.fetch(
        f"""
        SELECT name, pools, coalesce({USABLE}, false) AS usable,
               (SELECT jsonb_object_agg(gpu_type, gpus) FROM ({TAKEN}) taken WHERE cluster = name) AS taken
        FROM clusters WHERE name = ANY($1) ORDER BY name
        """,  # noqa: S608 - constants
        list(names), silence,
    )  # fmt: skip
    return [ClusterReport(row["name"], _pools(row["pools"]), row["taken"] or {}, row["usable"]) for row in rows]


async def read_clock(pool: Pool) -> datetime:
    """The database's moment, which attempts are accepted at."""
    moment: datetime = await pool.fetchval("SELECT clock_timestamp()")
    return moment


async def count_taken(pool: Pool, cluster: str) -> dict[str, int]:
    """GPUs by type that our attempts hold on the cluster."""
    rows = await pool.fetch(
        """
        SELECT gpu_type, sum(gpus)::int FROM attempts WHERE cluster = $1 AND state IN ('submitting', 'live') GROUP BY 1
        """,
        cluster,
    )
    return dict(tuple(row) for row in rows)


async def lock_cluster(conn: Connection, name: str) -> ClusterState:
    """The cluster, to be written to."""
    return _state(await conn.fetchrow("SELECT * FROM clusters WHERE name = $1 FOR UPDATE", name))


async def record_report(
    conn: Connection, name: str, capabilities: Capabilities, pools: Sequence[Gpus], asked_at: datetime
) -> None:
    """Replace what the cluster said, unless it was asked later by somebody else."""
    await conn.execute(
        """
        UPDATE clusters SET capabilities = $2, pools = $3, asked_at = $4, answered_at = now(), full_until = NULL,
            problem = NULL, silent_since = NULL
        WHERE name = $1 AND (asked_at IS NULL OR asked_at < $4)
        """,
        name, capabilities.model_dump(mode="json"), [_plain(pool) for pool in pools], asked_at,
    )  # fmt: skip


async def record_problem(pool: Pool, name: str, problem: str, gap: timedelta) -> None:
    """Remember why the cluster gave no good answer. Its silence begins anew when it was not asked for as long as `gap`.

    So a silence is never as long as we were away ourselves, and ends when any scheduler gets an answer.
    """
    await pool.execute(
        """
        UPDATE clusters SET problem = $2, unanswered_at = now(),
            silent_since = CASE WHEN unanswered_at > now() - $3::interval THEN coalesce(silent_since, now())
                           ELSE now() END
        WHERE name = $1
        """,
        name, problem, gap,
    )  # fmt: skip


async def mark_full(conn: Connection, names: Sequence[str], pause: timedelta) -> None:
    """Send the clusters nothing for a while, or until they say again what they have."""
    await conn.execute("UPDATE clusters SET full_until = now() + $2::interval WHERE name = ANY($1)", names, pause)


async def set_drained(conn: Connection, name: str, drained: bool) -> bool:
    """Let a cluster have new jobs, or none; False if it is not known."""
    tag = await conn.execute(
        "UPDATE clusters SET drained_at = CASE WHEN $2 THEN coalesce(drained_at, now()) END WHERE name = $1",
        name, drained,
    )  # fmt: skip
    return tag == "UPDATE 1"


async def list_clusters(pool: Pool) -> list[ClusterState]:
    """All clusters that were ever known, by name."""
    return [_state(row) for row in await pool.fetch("SELECT * FROM clusters ORDER BY name")]


async def count_attempts(pool: Pool) -> Mapping[str, Mapping[str, int]]:
    """By cluster: how many attempts are being submitted, and how many run."""
    rows = await pool.fetch(
        "SELECT cluster, state, count(*) FROM attempts WHERE state IN ('submitting', 'live') GROUP BY 1, 2"
    )
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for cluster, state, count in rows:
        counts[cluster][state] = count
    return counts


async def read_capabilities(conn: Connection | Pool, names: Collection[str]) -> dict[str, Capabilities]:
    """What the clusters can do; those that have not said are left out."""
    rows = await conn.fetch(
        "SELECT name, capabilities FROM clusters WHERE name = ANY($1) AND capabilities IS NOT NULL", list(names)
    )
    return {row["name"]: Capabilities.model_validate(row["capabilities"]) for row in rows}


def _state(row: Any) -> ClusterState:
    return ClusterState(
        name=row["name"],
        capabilities=Capabilities.model_validate(row["capabilities"]) if row["capabilities"] else None,
        pools=_pools(row["pools"]),
        answered_at=row["answered_at"],
        drained_at=row["drained_at"],
        problem=row["problem"],
    )


def _pools(plain: Sequence[Mapping[str, Any]] | None) -> tuple[Gpus, ...] | None:
    if plain is None:
        return None
    return tuple(Gpus(**{**pool, "types": pool["types"] and frozenset(pool["types"])}) for pool in plain)


def _plain(pool: Gpus) -> dict[str, Any]:
    types = sorted(pool.types) if pool.types is not None else None
    return {"types": types, "total": pool.total, "free": pool.free, "largest": pool.largest}
