"""Takes a run: what must be known before its transaction."""

import asyncio

from brightrun.cluster.errors import ExecutorUnreachable, NotResumable
from brightrun.cluster.executors.executor import Unreachable
from brightrun.cluster.files.checkpoints import complete_checkpoints
from brightrun.cluster.models import Run
from brightrun.cluster.runs import actions, queries, rules
from brightrun.cluster.runs.run_context import RunContext
from brightrun.contracts.cluster_api import RunStatus, SubmitRun


async def submit(request: SubmitRun, context: RunContext) -> tuple[Run, bool]:
    """The run of the attempt, and whether it is new. Raises why the cluster cannot take it."""
    resumed = None
    if request.resume_from:
        existing = await context.store.read(queries.find_attempt, request.job_id, request.attempt)
        if existing:  # whatever became of the earlier run since
            return existing, False
        resumed = await _run_with_checkpoints(request.resume_from, request, context)
    try:
        hardware = await context.executor.hardware()
    except Unreachable as error:
        raise ExecutorUnreachable(str(error)) from error
    return await context.store.transact(
        actions.submit,
        request,
        hardware=hardware,
        free=context.free_resources(),
        limits=context.settings.limits(),
        resumed=resumed,
    )


async def _run_with_checkpoints(run_id: str | None, request: SubmitRun, context: RunContext) -> RunStatus:
    """The run to adopt checkpoints from: a run without any had adopted its predecessor's. Raises NotResumable."""
    while run_id:
        run = await context.store.read(queries.find_run, run_id)
        if run is None or not rules.continues(request, run.request):
            raise NotResumable({"resume_from": ["there is no such run of this job, or of the same training"]})
        if checkpoints := await asyncio.to_thread(complete_checkpoints, context.folder(run_id).checkpoints):
            return run.status.model_copy(update={"last_checkpoint_step": checkpoints[-1].step})
        run_id = run.adopts
    raise NotResumable({"resume_from": ["the run has no complete checkpoint"]})
