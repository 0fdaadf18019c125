"""The platform that a benchmark runs on."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop

from brightrun.local.installation import Installation
from brightrun.local.pid_files import locked
from brightrun.local.platform import Platform
from brightrun.local.settings import LocalSettings
from brightrun.local.supervisor import Supervisor

Measured = dict[str, Any]


def measure_on(
    broker: str, services: Sequence[str], measure: Callable[[Platform], Coroutine[Any, Any, Measured]]
) -> Measured:
    """Start engines and `services` in a folder of their own, and return what is measured on them."""
    with TemporaryDirectory(prefix="brightrun-bench-") as folder:
        installation = Installation(Path(folder))
        settings = LocalSettings(home=installation.home, api_port=installation.port("bench.api"), kafka=broker)
        platform = Platform(installation, settings, services)
        with (
            locked(installation, print) as pid_file,
            Supervisor(platform.waves, pid_file, print),
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            return runner.run(measure(platform))
