"""Faults of a running platform, and a seeded schedule of them."""

import asyncio
import os
import random
import re
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from aiokafka.errors import KafkaError

from brightrun.contracts import signatures
from brightrun.contracts.events import CATALOGUE
from brightrun.local.platform import Platform
from brightrun.local.program import Program, family
from brightrun.local.service import Service
from tests.faults.clients import Client
from tests.kafka import republish

Say = Callable[[str], None]

ROOT = Path(__file__).parents[2]
FAILPOINTS = sorted(
    {
        name
        for path in (ROOT / "services").rglob("*.py")
        for name in re.findall(r'failpoint\("([a-z_.]+)"\)', path.read_text())
    }
    | {"relay.sent", "consumer.handled"}
)
REPUBLISH_SECONDS = 60.0
FAILPOINT_SECONDS = 8.0
"""Services have started anew by then, on a machine with time to spare."""


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
        topic, failpoint = rng.choice(CATALOGUE).name, rng.choice(FAILPOINTS)
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
                Fault(f"republish {topic}", lambda: _republish(platform, topic)),  # noqa: B023
                Fault(f"failpoint {failpoint}", lambda: _arm(services, failpoint, seconds)),  # noqa: B023
                Fault("forged and replayed callbacks", lambda: _forge_callbacks(platform, client)),
            ],
            weights=[6, 2, 2, 2, 2, 1, 1, 2, 1, 1, 2, 3, 1],
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


def _republish(platform: Platform, topic: str) -> None:
    """Every record of the topic is written once more, as if consumers had lost their offsets."""
    with suppress(KafkaError, TimeoutError, OSError):
        asyncio.run(asyncio.wait_for(republish(platform.broker.bootstrap, topic), REPUBLISH_SECONDS))


def _arm(services: Sequence[Service], failpoint: str, seconds: float) -> None:
    """All services start anew, and for some seconds each that comes to the failpoint dies there."""
    os.environ["FAILPOINT"] = failpoint
    try:
        for service in services:
            service.kill()
        time.sleep(FAILPOINT_SECONDS + seconds)
    finally:
        del os.environ["FAILPOINT"]


def _forge_callbacks(platform: Platform, client: Client) -> None:
    """One signed with another secret has to be refused; one that is signed well, of an unknown run, changes nothing."""
    secret = platform.installation.secret("cluster.callbacks")
    body = b'{"external_job_id": "unknown", "status": "completed"}'
    for signer, expected in ((secret, 202), (f"not {secret}", 401)):
        with suppress(httpx.HTTPError):
            url = f"http://127.0.0.1:{platform.installation.port('scheduler')}/callbacks"
            response = httpx.post(url, content=body, headers=signatures.sign(signer, body), timeout=20)
            if response.status_code not in (expected, 503):
                client.refusals.append(f"a callback was answered with {response.status_code} instead of {expected}")


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
