"""The executor that really trains on this machine: a process of the trainer's environment for each run.

A trainer is a session of its own and writes to files, so it outlives this service and is found again by its command.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from brightrun.cluster import guards, hearing
from brightrun.cluster.errors import StartupError
from brightrun.cluster.executor import Execution, Unstartable
from brightrun.cluster.models import Hardware, Run
from brightrun.cluster.run_folder import RunFolder
from brightrun.cluster.settings import Settings
from brightrun.contracts.reports import Report

MODULE = "brightrun_trainer"
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
POLL_SECONDS = 0.1


class LocalExecution:
    """A trainer's process, known by its id and the time it was made, so that a reused id is not mistaken for it."""

    def __init__(self, process: psutil.Process, folder: RunFolder, launch: int) -> None:
        self._process = process
        self._folder = folder
        self._launch = launch

    async def alive(self) -> bool:
        """Whether the process runs; a dead child of ours is reaped by the question."""
        return self._runs()

    async def rest(self) -> None:
        """The tenth of a second."""
        await asyncio.sleep(POLL_SECONDS)

    def wake(self) -> None:
        """Needless: its rests are short."""

    async def finish(self) -> None:
        """Leave the order in the run's folder: unlike a signal, it cannot come too early."""
        self._folder.give_order(self._launch, "finish")

    async def stop(self) -> None:
        """SIGTERM: the trainer saves and stops."""
        with suppress(psutil.NoSuchProcess):
            self._process.terminate()

    async def kill(self) -> None:
        """SIGKILL, its own children included."""
        if self._runs():
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def memory_bytes(self) -> int:
        """The resident memory of its session."""
        return await asyncio.to_thread(guards.memory_of_session, self._process.pid)

    async def last_words(self) -> str:
        """Nothing that is not in its log."""
        return ""

    def _runs(self) -> bool:
        try:
            self._process.wait(timeout=0)
        except psutil.TimeoutExpired:
            with suppress(psutil.NoSuchProcess):
                return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE
        return False


class LocalExecutor:
    """Runs trainers on this machine."""

    name = "local"
    simulated = False
    queues = False
    outlasts = False

    def __init__(self, settings: Settings) -> None:
        self._python, self._models = trainer_of(settings)
        self._runs = settings.run_path("")
        self.gpu_types: tuple[str, ...] = (settings.gpu_type,)
        self._gpus = {settings.gpu_type: settings.slots}
        self._has_gpus = settings.gpu_type != "CPU"
        # A core is left to the services: PyTorch's threads all wait for the one that has to share its core.
        self._threads = max(1, ((os.cpu_count() or 1) - 1) // settings.slots)
        self._largest_file = settings.run_file_bytes

    async def hardware(self) -> Hardware:
        """The GPUs of this machine and the models in its folder."""
        return Hardware(self._gpus, await asyncio.to_thread(models_in, self._models), simulated=False)

    async def start(self, run: Run, folder: RunFolder, resume: bool) -> LocalExecution:
        """Start the trainer's process."""
        command = [str(self._python), "-m", MODULE, str(folder.path), "--launch", str(run.launches)]
        with folder.out.open("ab") as out, folder.log.open("ab") as log:
            try:
                process = psutil.Popen(
                    [*command, *(["--resume"] if resume else [])],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=log,
                    cwd=folder.path,
                    env=self._environment(run.devices),
                    start_new_session=True,
                )
            except OSError as error:
                raise Unstartable(str(error)) from error
        guards.confine(process, self._largest_file)
        return LocalExecution(process, folder, run.launches)

    async def find(self, run: Run, folder: RunFolder) -> LocalExecution | None:
        """The leader of the session whose command names the folder; its workers share the command, not the lead."""
        found = await asyncio.to_thread(lambda: list(self._trainers()))
        return next((trainer for path, trainer in found if path == folder.path), None)

    async def at_work(self) -> list[tuple[str, Execution]]:
        """The trainers in our folders."""
        found = await asyncio.to_thread(lambda: list(self._trainers()))
        return [(path.name, trainer) for path, trainer in found if path.parent == self._runs]

    async def hear(self, folder: RunFolder, offset: int) -> tuple[list[Report], int]:
        """Straight from the disk."""
        lines, offset = folder.read_output(offset)
        return hearing.parse(lines), offset

    def _trainers(self) -> Iterator[tuple[Path, LocalExecution]]:
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                command = process.cmdline()
                if MODULE in command[:-1] and os.getsid(process.pid) == process.pid:
                    path = Path(command[command.index(MODULE) + 1])
                    launch = command[command.index("--launch") + 1] if "--launch" in command[:-1] else "0"
                    yield path, LocalExecution(process, RunFolder(path), int(launch))

    def _environment(self, devices: tuple[int, ...]) -> dict[str, str]:
        """What a trainer may know: little of the service's environment, and so none of its secrets."""
        return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {
            "BRIGHTRUN_MODELS": str(self._models),
            "CUDA_VISIBLE_DEVICES": ",".join(map(str, devices)) if self._has_gpus else "",
            "OMP_NUM_THREADS": str(self._threads),
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONUNBUFFERED": "1",
        }


def trainer_of(settings: Settings, here: bool = True) -> tuple[Path, Path]:
    """The trainer's Python, to be there if it runs `here`, and the folder of base models. Raises StartupError."""
    if settings.trainer_python is None or (here and not os.access(settings.trainer_python, os.X_OK)):
        raise StartupError(
            f"BRIGHTRUN_TRAINER_PYTHON is {settings.trainer_python or 'not set'}: give the Python of the trainer's "
            "environment (trainer/install.py makes one), or set BRIGHTRUN_EXECUTOR=simulated"
        )
    if settings.models is None or not settings.models.is_dir():
        raise StartupError(
            f"BRIGHTRUN_MODELS is {settings.models or 'not set'}: give the folder of base models "
            "(python -m brightrun_trainer.tiny FOLDER/tiny makes one)"
        )
    return settings.trainer_python.absolute(), settings.models.absolute()


def models_in(folder: Path) -> tuple[str, ...]:
    """The folders with a model in them, by their path: `tiny`, `meta-llama/Llama-3.2-1B`."""
    found = [*folder.glob("[!.]*/config.json"), *folder.glob("[!.]*/*/config.json")]
    return tuple(sorted(config.parent.relative_to(folder).as_posix() for config in found))
