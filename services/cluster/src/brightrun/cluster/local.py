"""The executor that really trains: a process of the trainer's environment for each run.

A trainer is a session of its own and writes to files, so it outlives this service and is found again by its command.
"""

import os
import signal
import subprocess
from contextlib import suppress

import psutil

from brightrun.cluster.errors import StartupError
from brightrun.cluster.run_folder import RunFolder
from brightrun.cluster.settings import Settings

MODULE = "brightrun_trainer"
NICENESS = 5
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")


class LocalExecution:
    """A trainer's process, known by its id and the time it was made, so that a reused id is not mistaken for it."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process

    def alive(self) -> bool:
        """Whether the process runs; a dead child of ours is reaped by the question."""
        try:
            self._process.wait(timeout=0)
        except psutil.TimeoutExpired:
            with suppress(psutil.NoSuchProcess):
                return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE
        return False

    def stop(self) -> None:
        """SIGTERM: the trainer saves and stops."""
        with suppress(psutil.NoSuchProcess):
            self._process.terminate()

    def kill(self) -> None:
        """SIGKILL, its own children included."""
        if self.alive():
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


class LocalExecutor:
    """Runs trainers on this machine."""

    name = "local"
    simulated = False

    def __init__(self, settings: Settings) -> None:
        if settings.trainer_python is None or not os.access(settings.trainer_python, os.X_OK):
            raise StartupError(
                f"BRIGHTRUN_TRAINER_PYTHON is {settings.trainer_python or 'not set'}: give the Python of the trainer's "
                "environment (trainer/install.py makes one), or set BRIGHTRUN_EXECUTOR=simulated"
            )
        if settings.models is None or not settings.models.is_dir():
            raise StartupError(
                f"BRIGHTRUN_MODELS is {settings.models or 'not set'}: give the folder of base models "
                "(python -m brightrun_trainer.tiny FOLDER/tiny makes one)"
            )
        self._python = settings.trainer_python.absolute()
        self._models = settings.models.absolute()
        self._has_gpus = settings.gpu_type != "CPU"
        self._threads = max(1, (os.cpu_count() or 1) // settings.slots)

    def base_models(self) -> tuple[str, ...]:
        """The folders with a model in them, by their path: `tiny`, `meta-llama/Llama-3.2-1B`."""
        found = [*self._models.glob("[!.]*/config.json"), *self._models.glob("[!.]*/*/config.json")]
        return tuple(sorted(config.parent.relative_to(self._models).as_posix() for config in found))

    def start(self, folder: RunFolder, devices: tuple[int, ...], resume: bool) -> LocalExecution:
        """Start the trainer's process. Raises OSError."""
        command = [str(self._python), "-m", MODULE, str(folder.path), *(["--resume"] if resume else [])]
        with folder.out.open("ab") as out, folder.log.open("ab") as log:
            process = psutil.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                cwd=folder.path,
                env=self._environment(devices),
                start_new_session=True,
            )
        with suppress(psutil.NoSuchProcess):
            process.nice(NICENESS)
        return LocalExecution(process)

    def find(self, folder: RunFolder) -> LocalExecution | None:
        """The leader of the session whose command names the folder; its workers share the command, not the lead."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                command = process.cmdline()
                if MODULE in command and str(folder.path) in command and os.getsid(process.pid) == process.pid:
                    return LocalExecution(process)
        return None

    def _environment(self, devices: tuple[int, ...]) -> dict[str, str]:
        """What a trainer may know: little of the service's environment, and so none of its secrets."""
        return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {
            "BRIGHTRUN_MODELS": str(self._models),
            "CUDA_VISIBLE_DEVICES": ",".join(map(str, devices)) if self._has_gpus else "",
            "OMP_NUM_THREADS": str(self._threads),
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONUNBUFFERED": "1",
        }
