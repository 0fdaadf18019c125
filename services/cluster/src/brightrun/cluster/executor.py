"""What a way of running trainers can do."""

from typing import Protocol

from brightrun.cluster.models import Hardware, Run
from brightrun.cluster.run_folder import RunFolder
from brightrun.contracts.reports import Report


class Unstartable(Exception):
    """The trainer cannot be started; the message says why. Another try may do better."""


class Unreachable(Exception):
    """Where the trainers work does not answer, so that it is not known whether they do; the message says why."""


class Execution(Protocol):
    """A trainer at work in a run's folder. What it says is heard from the executor, also after its end."""

    async def alive(self) -> bool:
        """Whether it still works. Raises Unreachable."""

    async def rest(self) -> None:
        """Wait until it may have said something."""

    def wake(self) -> None:
        """End a rest that may be long: something is wanted of it."""

    async def finish(self) -> None:
        """Ask it to train no further and to deliver what it has."""

    async def stop(self) -> None:
        """Ask it to save a checkpoint and stop."""

    async def kill(self) -> None:
        """End it at once."""

    async def memory_bytes(self) -> int:
        """How much memory it takes; 0 where that is not known."""

    async def last_words(self) -> str:
        """Why it is gone, where the trainer itself could not say it; empty if nothing is known."""


class Executor(Protocol):
    """Starts trainers.

    `queues`: a started trainer may have to wait, and is billed from its first word. `outlasts`: trainers work on while
    this service is stopped on purpose.
    """

    name: str
    gpu_types: tuple[str, ...]
    simulated: bool
    queues: bool
    outlasts: bool

    async def hardware(self) -> Hardware:
        """What can be run now. Raises Unreachable."""

    async def start(self, run: Run, folder: RunFolder, resume: bool) -> Execution:
        """Start a trainer, from its last checkpoint if `resume`. Raises Unstartable, Unreachable."""

    async def find(self, run: Run, folder: RunFolder) -> Execution | None:
        """The run's trainer at work, also one that an earlier life of this process started. Raises Unreachable."""

    async def at_work(self) -> list[tuple[str, Execution]]:
        """Every trainer that can be killed, with the id of its run. Raises Unreachable."""

    async def hear(self, folder: RunFolder, offset: int) -> tuple[list[Report], int]:
        """The next reports of the run's trainers and the offset behind them."""
