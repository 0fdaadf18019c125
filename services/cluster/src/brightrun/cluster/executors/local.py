"""The executor that really trains on this machine: a process of the trainer's environment for each run.

A trainer is a session of its own and writes to files, so it outlives this service and is found again by its command.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from brightrun.cluster.executors import exits, report_parser
from brightrun.cluster.executors.executor import Execution, StartFailed
from brightrun.cluster.executors.trainer import (
    MODULE,
    base_models_in,
    confine,
    count_oom_kills,
    environment,
    memory_of_session,
    trainer_paths,
)
from brightrun.cluster.files.run_folder import RunFolder
from brightrun.cluster.models import Hardware, Run
from brightrun.cluster.settings import Settings
from brightrun.contracts.reports import Report
from brightrun.contracts.training import JobError

LAST_LINES = 100


class LocalExecution(Execution):
    """A trainer's process, known by its id and the time it was made, so that a reused id is not mistaken for it."""

    def __init__(self, process: psutil.Process, folder: RunFolder, launch: int) -> None:
        super().__init__()
        self._process = process
        self._folder = folder
        self._launch = launch
        self._oom_kills = count_oom_kills()
        self._exit_code: int | None = None
        self._killed = False

    async def is_alive(self) -> bool:
        """Whether the process runs; reaps a dead child of ours."""
        return self._runs()

    async def finish(self) -> None:
        """Write the request into the run's folder: unlike a signal, it cannot come too early."""
        self._folder.request_stop(self._launch, "finish")

    async def stop(self) -> None:
        """SIGTERM: the trainer saves and stops."""
        with suppress(psutil.NoSuchProcess):
            self._process.terminate()

    async def kill(self) -> None:
        """SIGKILL, to its own children as well."""
        self._killed = True
        if self._runs():
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def exit_error(self) -> JobError | None:
        """By the signal that ended it; unknown of a trainer that an earlier process of the service started."""
        if self._killed or self._exit_code is None or self._exit_code >= 0:
            return None
        log, _ = await asyncio.to_thread(self._folder.read_log, LAST_LINES)
        return exits.explain(-self._exit_code, log, out_of_memory=count_oom_kills() > self._oom_kills)

    async def memory_bytes(self) -> int:
        return await asyncio.to_thread(memory_of_session, self._process.pid)

    def _runs(self) -> bool:
        try:
            self._exit_code = self._process.wait(timeout=0)
        except psutil.TimeoutExpired:
            with suppress(psutil.NoSuchProcess):
                return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE
        return False


class LocalExecutor:
    name = "local"
    simulated = False
    queues = False
    outlasts = False

    def __init__(self, settings: Settings) -> None:
        self._python, self._models = trainer_paths(settings)
        self._runs = settings.run_path("")
        self.gpu_types: tuple[str, ...] = (settings.gpu_type,)
        self.max_gpus: Mapping[str, int] = {settings.gpu_type: settings.slots}
        self._has_gpus = settings.gpu_type != "CPU"
        # A core is left to the services: PyTorch's threads all wait for the one that has to share its core.
        self._threads = max(1, ((os.cpu_count() or 1) - 1) // settings.slots)
        self._max_file_bytes = settings.run_file_bytes

    async def hardware(self) -> Hardware:
        base_models = await asyncio.to_thread(base_models_in, self._models)
        return Hardware(self.max_gpus, base_models, simulated=False, max_gpus=self.max_gpus)

    async def start(self, run: Run, folder: RunFolder, resume: bool) -> LocalExecution:
        command = [str(self._python), "-m", MODULE, str(folder.path), "--launch", str(run.launches)]
        devices = ",".join(map(str, run.devices)) if self._has_gpus else ""
        with folder.output.open("ab") as output, folder.log.open("ab") as log:
            try:
                process = psutil.Popen(
                    [*command, *(["--resume"] if resume else [])],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=log,
                    cwd=folder.path,
                    env=environment(self._models, devices) | {"OMP_NUM_THREADS": str(self._threads)},
                    start_new_session=True,
                )
            except OSError as error:
                raise StartFailed(str(error)) from error
        confine(process, self._max_file_bytes)
        return LocalExecution(process, folder, run.launches)

    async def find(self, run: Run, folder: RunFolder) -> LocalExecution | None:
        """The leader of the session whose command names the folder; its workers share the command, not the lead."""
        return next((trainer for path, trainer in await asyncio.to_thread(_trainers) if path == folder.path), None)

    async def list_executions(self) -> list[tuple[str, Execution]]:
        trainers = await asyncio.to_thread(_trainers)
        return [(path.name, trainer) for path, trainer in trainers if path.parent == self._runs]

    async def read_reports(self, folder: RunFolder, offset: int) -> tuple[list[Report], int]:
        return report_parser.read_reports(folder, offset)


def _trainers() -> list[tuple[Path, LocalExecution]]:
    trainers = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            command = process.cmdline()
            if MODULE in command[:-1] and os.getsid(process.pid) == process.pid:
                path = Path(command[command.index(MODULE) + 1])
                launch = command[command.index("--launch") + 1] if "--launch" in command[:-1] else "0"
                trainers.append((path, LocalExecution(process, RunFolder(path), int(launch))))
    return trainers
