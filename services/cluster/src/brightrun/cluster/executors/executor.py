"""What a way of running trainers can do."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

from brightrun.cluster.files.run_folder import RunFolder
from brightrun.cluster.models import Hardware, Run
from brightrun.contracts.reports import Report
from brightrun.contracts.training import JobError


class StartFailed(Exception):
    """The trainer cannot be started; the message says why. Another try may do better."""


class Unreachable(Exception):
    """The machines that train do not answer, so the state of their trainers is unknown; the message says why."""


class Execution(ABC):
    """A trainer at work in a run's folder. Its reports are read from the executor, also after its end."""

    poll_seconds: float | None = 0.1
    """How often to look for new reports; None where the execution wakes its watch."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    @abstractmethod
    async def is_alive(self) -> bool:
        """Whether it still works. Raises Unreachable."""

    @abstractmethod
    async def finish(self) -> None:
        """Ask it to train no further and to deliver what it has."""

    @abstractmethod
    async def stop(self) -> None:
        """Ask it to save a checkpoint and stop."""

    @abstractmethod
    async def kill(self) -> None:
        """End it at once."""

    async def memory_bytes(self) -> int:
        """How much memory it takes; 0 where that is not known."""
        return 0

    async def exit_error(self) -> JobError | None:
        """Why it is gone, where the trainer itself could not say it; None if nothing is known."""
        return None

    async def wait_for_output(self) -> None:
        """Wait until it may have reported something, or until `wake`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), self.poll_seconds)
        self._woken.clear()

    def wake(self) -> None:
        """End a wait for output."""
        self._woken.set()


class Executor(Protocol):
    """Starts trainers.

    `max_gpus`: the most GPUs of a type that a run can have, where that is known. `queues`: a started trainer may have
    to wait, and is billed from its first report. `outlasts`: trainers work on while this service is stopped on purpose.
    """

    name: str
    gpu_types: tuple[str, ...]
    max_gpus: Mapping[str, int]
    simulated: bool
    queues: bool
    outlasts: bool

    async def hardware(self) -> Hardware:
        """What can be run now. Raises Unreachable."""

    async def start(self, run: Run, folder: RunFolder, resume: bool) -> Execution:
        """Start a trainer, from its last checkpoint if `resume`. Raises StartFailed, Unreachable."""

    async def find(self, run: Run, folder: RunFolder) -> Execution | None:
        """The run's trainer at work, also one that an earlier service process started. Raises Unreachable."""

    async def list_executions(self) -> list[tuple[str, Execution]]:
        """Every trainer that can be killed, with the id of its run. Raises Unreachable."""

    async def read_reports(self, folder: RunFolder, offset: int) -> tuple[list[Report], int]:
        """The next reports of the run's trainers and the offset behind them."""
