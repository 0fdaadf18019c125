"""The queue is counted, and jobs that no cluster can run leave it."""

from prometheus_client import Gauge

from brightrun.contracts.placement import find_lacks
from brightrun.runtime.database import Pool, transaction
from brightrun.scheduler.clusters.queries import read_reports
from brightrun.scheduler.clusters.rules import MAX_SILENCE, capacity_of
from brightrun.scheduler.queue import actions, queries

DEPTH = Gauge("brightrun_queue_jobs", "Jobs that are not over, by state.", ["state"])


async def count_jobs(pool: Pool) -> bool:
    """Update the metrics. False: the clock repeats it."""
    for state, jobs in (await queries.count_by_state(pool)).items():
        DEPTH.labels(state).set(jobs)
    return False


async def refuse_impossible(pool: Pool, clusters: list[str]) -> bool:
    """End waiting jobs that no cluster can ever run. False: the clock repeats it."""
    shapes = await queries.read_shapes(pool)
    reports = await read_reports(pool, clusters, MAX_SILENCE) if shapes else []
    capacities = [capacity_of(report) for report in reports]
    for user_id, needs in shapes:
        if lacks := find_lacks(capacities, needs):
            async with transaction(pool) as conn:
                await actions.refuse(conn, user_id, needs, lacks)
    return False
