"""SQL of clusters: what they last reported, whether they answer, and whether they get jobs."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from brightrun.contracts import scheduling
from brightrun.contracts.cluster_api import Capabilities
from brightrun.contracts.scheduling import Cluster
from brightrun.runtime.database import Connection, Pool
from brightrun.scheduler.clusters.models import ClusterReport, GpuPool
from brightrun.scheduler.states import HOLDS_GPUS, AttemptState

AVAILABLE = "coalesce(drained_at IS NULL AND answered_at > now() - $2::interval, false)"

TAKEN = f"""
    SELECT cluster, gpu_type, sum(gpus)::int AS gpus FROM (
        SELECT cluster, gpu_type, gpus FROM attempts
        WHERE state = '{AttemptState.SUBMITTING}' AND cluster = ANY($1)
        UNION ALL
        SELECT a.cluster, a.gpu_type, a.gpus FROM clusters c
        JOIN attempts a ON a.cluster = c.name AND a.state = '{AttemptState.LIVE}' AND a.accepted_at >= c.asked_at
        WHERE c.name = ANY($1)) uncounted
    GROUP BY 1, 2
"""
"""GPUs that a cluster's last report does not count as used, or may not."""


async def add_clusters(conn: Connection, names: Sequence[str]) -> None:
    """Make the clusters known; known ones stay as they are."""
    await conn.execute("INSERT INTO clusters (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", names)


async def read_reports(conn: Connection | Pool, names: Collection[str], max_silence: timedelta) -> list[ClusterReport]:
    """What is known of the clusters now; one that was silent for `max_silence` is not usable."""
    rows = await conn.fetch(
        f"""
        SELECT name, pools, capabilities, {AVAILABLE} AS available, coalesce(full_until < now(), true) AS not_full,
               (SELECT jsonb_object_agg(gpu_type, gpus) FROM ({TAKEN}) taken WHERE cluster = name) AS taken
        FROM clusters WHERE name = ANY($1) ORDER BY name
        """,
        list(names), max_silence,
    )  # fmt: skip
    return [_report(row) for row in rows]


async def read_clock(pool: Pool) -> datetime:
    """The database's current time, in which `accepted_at` of attempts is given."""
    now: datetime = await pool.fetchval("SELECT clock_timestamp()")
    return now


async def count_used_gpus(pool: Pool, cluster: str) -> dict[str, int]:
    """GPUs by type that our attempts hold on the cluster."""
    rows = await pool.fetch(
        f"SELECT gpu_type, sum(gpus)::int FROM attempts WHERE cluster = $1 AND state IN {HOLDS_GPUS} GROUP BY 1",
        cluster,
    )
    return dict(tuple(row) for row in rows)


async def lock_pools(conn: Connection, name: str) -> tuple[GpuPool, ...]:
    """The cluster's pools, locked for an update."""
    return _pools(await conn.fetchval("SELECT pools FROM clusters WHERE name = $1 FOR UPDATE", name)) or ()


async def save_report(
    conn: Connection,
    name: str,
    capabilities: Capabilities,
    pools: Sequence[GpuPool],
    asked_at: datetime,
    *,
    pausable: bool,
) -> None:
    """Replace the cluster's report, unless another scheduler asked later."""
    await conn.execute(
        """
        UPDATE clusters SET capabilities = $2, pools = $3, asked_at = $4, pausable = $5, answered_at = now(),
            full_until = NULL, problem = NULL, silent_since = NULL
        WHERE name = $1 AND (asked_at IS NULL OR asked_at < $4)
        """,
        name, capabilities.model_dump(mode="json"), [_to_json(pool) for pool in pools], asked_at, pausable,
    )  # fmt: skip


async def save_problem(pool: Pool, name: str, problem: str, max_gap: timedelta) -> None:
    """Remember why the cluster's response was unusable. Its silence restarts when it was not asked for `max_gap`.

    So a silence never counts the time that all schedulers were away, and ends when any of them gets a response.
    """
    await pool.execute(
        """
        UPDATE clusters SET problem = $2, unanswered_at = now(),
            silent_since = CASE WHEN unanswered_at > now() - $3::interval THEN coalesce(silent_since, now())
                           ELSE now() END
        WHERE name = $1
        """,
        name, problem, max_gap,
    )  # fmt: skip


async def mark_full(conn: Connection, names: Sequence[str], pause: timedelta) -> None:
    """Send the clusters nothing for `pause`, or until their next report."""
    await conn.execute("UPDATE clusters SET full_until = now() + $2::interval WHERE name = ANY($1)", names, pause)


async def set_drained(conn: Connection, name: str, drained: bool) -> bool:
    """Drain or undrain a cluster; False if it is not known."""
    tag = await conn.execute(
        "UPDATE clusters SET drained_at = CASE WHEN $2 THEN coalesce(drained_at, now()) END WHERE name = $1",
        name, drained,
    )  # fmt: skip
    return tag == "UPDATE 1"


async def list_clusters(pool: Pool, urls: Mapping[str, str]) -> list[Cluster]:
    """All clusters that were ever known, by name, as operators see them."""
    rows = await pool.fetch(
        f"""
        SELECT name, capabilities, pools, answered_at, problem, drained_at,
            (SELECT count(*) FROM attempts WHERE cluster = name AND state = '{AttemptState.SUBMITTING}') AS submitting,
            (SELECT count(*) FROM attempts WHERE cluster = name AND state = '{AttemptState.LIVE}') AS running
        FROM clusters ORDER BY name
        """
    )
    return [_view(dict(row), urls.get(row["name"])) for row in rows]


async def read_capabilities(pool: Pool, name: str) -> Capabilities | None:
    """What the cluster can do; None before its first response."""
    capabilities = await pool.fetchval("SELECT capabilities FROM clusters WHERE name = $1", name)
    return Capabilities.model_validate(capabilities) if capabilities else None


def _report(row: Any) -> ClusterReport:
    return ClusterReport(
        name=row["name"],
        pools=_pools(row["pools"]),
        taken=row["taken"] or {},
        usable=row["available"] and row["not_full"],
        available=row["available"],
        capabilities=Capabilities.model_validate(row["capabilities"]) if row["capabilities"] else None,
    )


def _view(row: dict[str, Any], url: str | None) -> Cluster:
    capabilities = row.pop("capabilities") or {}
    pools = row.pop("pools") or ()
    return Cluster(
        **row,
        url=url,
        executor=capabilities.get("executor"),
        simulated=capabilities.get("simulated", False),
        gpus=[scheduling.GpuPool(types=pool["types"], total=pool["total"], free=pool["free"]) for pool in pools],
    )


def _pools(pools: Sequence[Mapping[str, Any]] | None) -> tuple[GpuPool, ...] | None:
    if pools is None:
        return None
    return tuple(GpuPool(**{**pool, "types": pool["types"] and frozenset(pool["types"])}) for pool in pools)


def _to_json(pool: GpuPool) -> dict[str, Any]:
    types = sorted(pool.types) if pool.types is not None else None
    return {"types": types, "total": pool.total, "free": pool.free, "max_total": pool.max_total}
