"""Models that are tried: processes that hold a base model and an adapter, and answer one request after the other.

A process is kept for the next request to the same model; it ends by itself when nobody asks for a while, and, its input
being a pipe from here, when this service does.
"""

import asyncio
import contextlib
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator

import structlog

from brightrun.cluster.errors import GenerationBusy, GenerationUnsupported, Removed
from brightrun.cluster.local import PASSED_ON
from brightrun.cluster.models import Run
from brightrun.cluster.run_folder import RunFolder
from brightrun.cluster.settings import Settings
from brightrun.contracts.generation import Failed, Generate
from brightrun.contracts.training import JobError

log = structlog.get_logger()

MODULE = "brightrun_trainer.generate"
IDLE_SECONDS = 300.0
SILENCE_SECONDS = 300.0
"""The longest; a large base model takes its time to load."""
MAX_LINE_LENGTH = 1 << 20
KIND_BYTES = 40
LAST_KINDS = (b'"kind":"done"', b'"kind":"failed"')


class Answer:
    """The lines of an answer as they come, kept until they are wanted: a slow reader does not hold the process up."""

    def __init__(self, process: Process, request: Generate) -> None:
        self._process = process
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()
        self._asking = asyncio.create_task(self._ask(request))

    @property
    def over(self) -> bool:
        """Whether the process is through with it."""
        return self._asking.done()

    async def lines(self) -> AsyncIterator[bytes]:
        """Tell it once; whoever leaves before the end ends the process, which would go on for nobody."""
        last = False
        try:
            while not last:
                line = await self._lines.get()
                last = _is_last(line)
                yield line
        finally:
            if not self.over:
                end(self._process)

    async def _ask(self, request: Generate) -> None:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin  # noqa: S101 - both are pipes
        assert stdout  # noqa: S101
        try:
            stdin.write(request.model_dump_json().encode() + b"\n")
            await stdin.drain()
            line = b""
            while not _is_last(line):
                async with asyncio.timeout(SILENCE_SECONDS):
                    line = await stdout.readline()
                if not line.endswith(b"\n"):
                    raise BrokenPipeError("it ended in the middle")
                self._lines.put_nowait(line)
        except (OSError, TimeoutError, ValueError) as error:
            log.warning("generator.lost", error=repr(error))
            end(self._process)
            self._lines.put_nowait(_lost(error).model_dump_json().encode() + b"\n")


class Generators:
    """At most so many processes as the settings say, those that were asked last."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: dict[str, tuple[Process, Answer | None]] = {}
        self._changing = asyncio.Lock()

    @property
    def possible(self) -> bool:
        """Whether models can be tried here at all."""
        settings = self._settings
        trains = settings.executor != "simulated" and settings.models is not None
        return trains and settings.generators > 0 and os.access(settings.trainer_python or "", os.X_OK)

    async def answer(self, run: Run, folder: RunFolder, request: Generate) -> Answer:
        """Ask the run's base model and adapter. Raises GenerationUnsupported, GenerationBusy and Removed."""
        if not self.possible:
            raise GenerationUnsupported
        if not (folder.adapter / "adapter_config.json").exists():
            raise Removed
        async with self._changing:
            self._kept = {run_id: kept for run_id, kept in self._kept.items() if kept[0].returncode is None}
            process, answer = self._kept.pop(run.id, (None, None))
            if process is None:
                await self._make_room()
                process = await self._start(run, folder)
            elif answer and not answer.over:
                self._kept[run.id] = process, answer
                raise GenerationBusy
            answer = Answer(process, request)
            self._kept[run.id] = process, answer
        return answer

    async def close(self) -> None:
        """End all processes."""
        for process, _ in self._kept.values():
            end(process)
            await process.wait()

    async def _make_room(self) -> None:
        """End the process that was idle for longest, if there is none to spare."""
        while len(self._kept) >= self._settings.generators:
            idle = [run_id for run_id, (_, answer) in self._kept.items() if answer is None or answer.over]
            if not idle:
                raise GenerationBusy
            process, _ = self._kept.pop(idle[0])
            end(process)
            await process.wait()

    async def _start(self, run: Run, folder: RunFolder) -> Process:
        spec, settings = run.request.hyperparameters, self._settings
        revision = ("--revision", spec.base_model_revision) if spec.base_model_revision else ()
        with (folder.path / "generate.log").open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                str(settings.trainer_python),
                *("-m", MODULE, str(folder.adapter), "--base", spec.base_model, *revision),
                *("--idle", str(IDLE_SECONDS), "--seconds", str(settings.generation_seconds)),
                stdin=PIPE,
                stdout=PIPE,
                stderr=errors if errors.tell() < MAX_LINE_LENGTH else DEVNULL,
                cwd=folder.path,
                env=self._environment(),
                limit=MAX_LINE_LENGTH,
            )
        log.info("generator.started", run_id=run.id)
        return process

    def _environment(self) -> dict[str, str]:
        """Little of the service's own, and so none of its secrets."""
        assert self._settings.models  # noqa: S101 - `possible` has seen to it
        return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {
            "BRIGHTRUN_MODELS": str(self._settings.models.absolute()),
            "CUDA_VISIBLE_DEVICES": self._settings.generation_devices,
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONUNBUFFERED": "1",
        }


def end(process: Process) -> None:
    """Kill it; its exit is noticed by the event loop."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def _is_last(line: bytes) -> bool:
    return any(kind in line[:KIND_BYTES] for kind in LAST_KINDS)


def _lost(error: Exception) -> Failed:
    slow = isinstance(error, TimeoutError)
    return Failed(
        error=JobError(
            code="generator_slow" if slow else "generator_lost",
            message="The model took too long to load." if slow else "The process that held the model ended.",
            advice="Ask again; if it happens once more, tell the operator: a log lies in the run's folder.",
            retryable=True,
        )
    )
