"""What a way of running trainers can do."""

from typing import Protocol

from brightrun.cluster.run_folder import RunFolder


class Execution(Protocol):
    """A trainer at work in a run's folder. All that it says is in the folder's `out.jsonl`."""

    def alive(self) -> bool:
        """Whether it still works."""

    def stop(self) -> None:
        """Ask it to save a checkpoint and stop."""

    def kill(self) -> None:
        """End it at once."""


class Executor(Protocol):
    """Starts trainers."""

    name: str
    simulated: bool

    def base_models(self) -> tuple[str, ...] | None:
        """The base models there are now; None: any will do."""

    def start(self, folder: RunFolder, devices: tuple[int, ...], resume: bool) -> Execution:
        """Start a trainer, from its last checkpoint if `resume`. Raises OSError."""

    def find(self, folder: RunFolder) -> Execution | None:
        """The trainer that already works in the folder, also one that an earlier life of this process started."""
