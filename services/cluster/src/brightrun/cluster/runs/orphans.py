"""Ends trainers that no live run owns."""

import structlog
from prometheus_client import Counter, Gauge

from brightrun.cluster.executors.executor import Unreachable
from brightrun.cluster.runs import queries
from brightrun.cluster.runs.run_context import RunContext

log = structlog.get_logger()

LIVE_RUNS = Gauge("brightrun_cluster_live_runs", "Runs that are not finished.")
ORPHANS = Counter("brightrun_cluster_orphans_ended_total", "Trainers ended because no live run owns them.")


async def end_orphans(context: RunContext) -> None:
    """The trainers are listed before the runs: one that starts in between belongs to a live run."""
    try:
        executions = await context.executor.list_executions()
    except Unreachable as error:
        log.warning("orphans.unknown", reason=str(error))
        return
    live = await context.store.read(queries.live_run_ids)
    LIVE_RUNS.set(len(live))
    for run_id, execution in executions:
        if run_id not in live:
            log.info("orphan.ended", external_job_id=run_id)
            await execution.kill()
            ORPHANS.inc()
