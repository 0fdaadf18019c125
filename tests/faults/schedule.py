"""Faults of a running platform, and a seeded schedule of them."""

import random
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from brightrun.local.platform import Platform
from brightrun.local.program import Program, family
from tests.faults.clients import Client

Say = Callable[[str], None]


@dataclass(frozen=True)
class Fault:
    """A name that can be repeated, and what happens."""

    name: str
    happen: Callable[[], None]


def faults_of(platform: Platform, client: Client, rng: random.Random) -> Iterator[Fault]:
    """Faults without end, the same for the same state of `rng`."""
    services = list(platform.services.values())
    engines = [program for wave in platform.waves for program in wave if program not in services]
    while True:
        service, program = rng.choice(services), rng.choice([*services, *engines])
        seconds = round(rng.uniform(1, 8), 1)
        yield rng.choices(
            [
                Fault(f"SIGKILL {program.name}", program.kill),
                Fault(f"SIGTERM {program.name}", program.ask_to_stop),
                Fault(f"freeze {program.name} {seconds} s", lambda: _freeze(program, seconds)),  # noqa: B023
                Fault("SIGQUIT postgres", lambda: _signal(platform.postgres, signal.SIGQUIT)),
                Fault("SIGKILL broker", lambda: _signal(platform.broker, signal.SIGKILL)),
                Fault("SIGTERM broker", lambda: _signal(platform.broker, signal.SIGTERM)),
                Fault("SIGKILL object store", lambda: _signal(platform.store, signal.SIGKILL)),
                Fault(f"full disk of {service.name} {seconds} s", lambda: _fill_disk([service], seconds)),  # noqa: B023
                Fault(f"full disk of all services {seconds} s", lambda: _fill_disk(services, seconds)),  # noqa: B023
                Fault(f"slow uploads {seconds} s", lambda: client.upload_slowly(seconds)),  # noqa: B023
            ],
            weights=[6, 2, 2, 2, 2, 1, 1, 2, 1, 1],
        )[0]


def inject(faults: Iterator[Fault], seconds: float, rng: random.Random, say: Say, pause: tuple[float, float]) -> int:
    """Let faults happen for a time, with pauses; returns how many."""
    began, count = time.monotonic(), 0
    while (elapsed := time.monotonic() - began) < seconds:
        fault = next(faults)
        say(f"{elapsed:7.1f} s  {fault.name}")
        fault.happen()
        count += 1
        time.sleep(rng.uniform(*pause))
    return count


def _signal(program: object, number: signal.Signals) -> None:
    if isinstance(program, Program) and program.pid is not None:
        with suppress(psutil.Error):
            psutil.Process(program.pid).send_signal(number)


def _freeze(program: Program, seconds: float) -> None:
    if program.pid is None:
        return
    with suppress(psutil.Error):
        process = psutil.Process(program.pid)
        process.suspend()
        time.sleep(seconds)
        process.resume()


def _fill_disk(programs: Sequence[Program], seconds: float) -> None:
    """No file of theirs can grow, logs and databases included: the limit needs no privileges, and no disk."""
    limited = []
    for process in family({program.pid for program in programs if program.pid is not None}):
        with suppress(psutil.Error):
            soft, hard = process.rlimit(resource.RLIMIT_FSIZE)
            process.rlimit(resource.RLIMIT_FSIZE, (1, hard))
            limited.append((process, soft, hard))
    time.sleep(seconds)
    for process, soft, hard in limited:
        with suppress(psutil.Error):
            process.rlimit(resource.RLIMIT_FSIZE, (soft, hard))
