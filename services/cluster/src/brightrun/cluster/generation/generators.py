"""Processes that hold a base model and an adapter, and answer one request after the other.

A process is kept for the next request to the same model; it ends by itself when it is idle for a while, and, its input
being a pipe from here, when this service does.
"""

import asyncio
import contextlib
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator

import structlog

from brightrun.cluster.errors import GenerationBusy, GenerationUnsupported, Removed
from brightrun.cluster.executors.trainer import MODULE, environment
from brightrun.cluster.files.run_folder import RunFolder
from brightrun.cluster.models import Run
from brightrun.cluster.settings import Settings
from brightrun.contracts.generation import Failed, Generate
from brightrun.contracts.training import JobError

log = structlog.get_logger()

IDLE_SECONDS = 300.0
MAX_SILENCE_SECONDS = 300.0
"""A large base model takes its time to load."""
MAX_LINE_LENGTH = 1 << 20
KIND_BYTES = 40
LAST_KINDS = (b'"kind":"done"', b'"kind":"failed"')


class Completion:
    """The events of one request, queued until they are read: a slow reader does not hold the process up."""

    def __init__(self, process: Process, request: Generate) -> None:
        self.process = process
        self._killed = False
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()
        self._task = asyncio.create_task(self._ask(request))

    @property
    def done(self) -> bool:
        """Whether the process has answered."""
        return self._task.done()

    @property
    def process_alive(self) -> bool:
        """Whether the process can take another request."""
        return not self._killed and self.process.returncode is None

    async def events(self) -> AsyncIterator[bytes]:
        """One line an event, for one reader; one who leaves early ends the process, which would go on for nobody."""
        last = False
        try:
            while not last:
                line = await self._lines.get()
                last = _is_last(line)
                yield line
        finally:
            if not self.done:
                self._kill()

    async def _ask(self, request: Generate) -> None:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin  # noqa: S101 - both are pipes
        assert stdout  # noqa: S101
        try:
            stdin.write(request.model_dump_json().encode() + b"\n")
            await stdin.drain()
            line = b""
            while not _is_last(line):
                async with asyncio.timeout(MAX_SILENCE_SECONDS):
                    line = await stdout.readline()
                if not line.endswith(b"\n"):
                    raise BrokenPipeError("it ended in the middle")
                self._lines.put_nowait(line)
        except (OSError, TimeoutError, ValueError) as error:
            log.warning("generator.lost", error=repr(error))
            self._kill()
            self._lines.put_nowait(_lost(error).model_dump_json().encode() + b"\n")

    async def end_process(self) -> None:
        """Kill the process and wait for its exit."""
        self._kill()
        await self.process.wait()

    def _kill(self) -> None:
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


class Generators:
    """The processes, as many as the settings allow; the one that was idle for longest makes room for another."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._last: dict[str, Completion] = {}  # of each run that has a process, those asked least recently first
        self._changing = asyncio.Lock()

    @property
    def possible(self) -> bool:
        """Whether models can be tried here at all."""
        settings = self._settings
        trains = settings.executor != "simulated" and settings.models is not None
        return trains and settings.generators > 0 and os.access(settings.trainer_python or "", os.X_OK)

    async def complete(self, run: Run, folder: RunFolder, request: Generate) -> Completion:
        """Ask the run's base model and adapter. Raises GenerationUnsupported, GenerationBusy and Removed."""
        if not self.possible:
            raise GenerationUnsupported
        if not (folder.adapter / "adapter_config.json").exists():
            raise Removed
        async with self._changing:
            self._last = {run_id: last for run_id, last in self._last.items() if last.process_alive}
            last = self._last.get(run.id)
            if last and not last.done:
                raise GenerationBusy
            if last is None:
                await self._make_room()
            process = last.process if last else await self._start(run, folder)
            self._last.pop(run.id, None)
            self._last[run.id] = completion = Completion(process, request)
        return completion

    async def close(self) -> None:
        for last in self._last.values():
            await last.end_process()

    async def _make_room(self) -> None:
        while len(self._last) >= self._settings.generators:
            idle = next((run_id for run_id, last in self._last.items() if last.done), None)
            if idle is None:
                raise GenerationBusy
            await self._last.pop(idle).end_process()

    async def _start(self, run: Run, folder: RunFolder) -> Process:
        spec, settings = run.request.hyperparameters, self._settings
        assert settings.models  # noqa: S101 - `possible` has seen to it
        revision = ("--revision", spec.base_model_revision) if spec.base_model_revision else ()
        with (folder.path / "generate.log").open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                str(settings.trainer_python),
                *("-m", f"{MODULE}.generate", str(folder.adapter), "--base", spec.base_model, *revision),
                *("--idle", str(IDLE_SECONDS), "--seconds", str(settings.generation_seconds)),
                stdin=PIPE,
                stdout=PIPE,
                stderr=errors if errors.tell() < MAX_LINE_LENGTH else DEVNULL,
                cwd=folder.path,
                env=environment(settings.models.absolute(), settings.generation_devices),
                limit=MAX_LINE_LENGTH,
            )
        log.info("generator.started", run_id=run.id)
        return process


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
