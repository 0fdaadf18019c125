"""What a run needs before its first trainer: its folder, the checkpoints that it starts from, and its inputs."""

import asyncio
from functools import partial

from brightrun.cluster.errors import retryable
from brightrun.cluster.files import checkpoints, inputs
from brightrun.cluster.runs import rules
from brightrun.cluster.runs.live_run import LiveRun
from brightrun.cluster.runs.run_context import RunContext


async def prepare(live: LiveRun, context: RunContext) -> None:
    """Fill the run's folder; can be repeated after a crash. The run fails if something is not to be had."""
    await asyncio.to_thread(live.folder.prepare, live.run.request.hyperparameters.resolved())
    await _adopt_checkpoints(live, context)
    for source in inputs.inputs_of(live.run.request, live.folder):
        if not (live.run.finished or live.stop_requested.is_set() or source.target.exists()):
            await _download(live, context, source)


async def _adopt_checkpoints(live: LiveRun, context: RunContext) -> None:
    if live.run.adopts is None or live.run.launched:
        return
    source = context.folder(live.run.adopts).checkpoints
    try:
        step = await asyncio.to_thread(checkpoints.adopt, source, live.folder.checkpoints)
    except FileNotFoundError as error:
        reason = error.strerror or error
        await live.fail(retryable("checkpoint_gone", f"The checkpoint to go on from is gone ({reason})."))
        return
    await live.change(partial(rules.adopt, step=step))


async def _download(live: LiveRun, context: RunContext, source: inputs.Input) -> None:
    async def download() -> None:
        async with context.downloads:
            await inputs.download(context.http, source, context.settings.free_disk_bytes)

    downloading = asyncio.create_task(download())
    stop = asyncio.create_task(live.stop_requested.wait())
    await asyncio.wait((downloading, stop), return_when=asyncio.FIRST_COMPLETED)
    for task in (downloading, stop):
        task.cancel()
    try:
        await downloading
    except asyncio.CancelledError:
        return
    except inputs.DownloadFailed as failure:
        await live.fail(source.error(failure))
