"""A platform with a simulated cluster, a stream of jobs, faults, and the auditor's verdict."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from brightrun.local.settings import LocalSettings
from tests.faults.audit import breaches
from tests.faults.clients import TERMINAL, Client, Sink
from tests.faults.ledgers import Ledgers, Row, read
from tests.faults.schedule import Say, faults_of, inject
from tests.flows.live_platform import ROOT, LivePlatform, start_platform

SETTINGS = {
    "EXECUTOR": "simulated",
    "SLOTS": "4",
    "SIMULATED_STEPS_PER_SECOND": "40",
    "WEBHOOK_PRIVATE_HOSTS": "localhost",
    "RATE_LIMIT_READS": "0",
    "RATE_LIMIT_CHANGES": "0",
    "RATE_LIMIT_ANONYMOUS": "0",
    "CLUSTER_SILENCE_SECONDS": "60",
    "TRANSFER_ATTEMPTS": "100",
    "TRANSFER_RETRY_SECONDS": "2",
}
"""Of the services, each as `BRIGHTRUN_…`: quick jobs, and patience with what fails."""

LIVE_JOBS = """
SELECT id, status, attempt, seq, pause_turn, cancel_requested_at, pause_requested_at
FROM jobs WHERE status <> ALL($1::text[])
"""
QUEUED = """
SELECT job_id, state, pause_turn, pause_requested_at, cancel_requested_at, not_before
FROM queue WHERE job_id = ANY($1::uuid[])
"""


@dataclass
class Rehearsal:
    """A running platform and its clients: one has a webhook that answers, one a webhook that hangs."""

    platform: LivePlatform
    sink: Sink
    clients: list[Client]
    rng: random.Random
    accepted: list[Row]
    faults: int = 0
    _refusals: list[str] = field(default_factory=list)

    @contextmanager
    def submitting(self, pause: float) -> Iterator[None]:
        """The clients submit jobs inside the block, with `pause` seconds between two of a client's on average."""
        stopping = threading.Event()
        threads = [threading.Thread(target=client.submit_until, args=(stopping, pause)) for client in self.clients]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopping.set()
            for thread in threads:
                thread.join()

    def inject(self, seconds: float, say: Say, pause: tuple[float, float]) -> None:
        """Let faults happen."""
        faults = faults_of(self.platform.programs, self.clients[-1], self.rng)
        self.faults += inject(faults, seconds, self.rng, say, pause)

    def settle(self, within: float) -> tuple[Ledgers, list[str]]:
        """The ledgers once the auditor finds nothing, else as they are after `within` seconds, and its findings."""
        deadline = time.monotonic() + within
        while True:
            is_last = time.monotonic() > deadline
            ledgers, found = self._audit(is_last)
            if not found or is_last:
                return ledgers, found
            time.sleep(2)

    def _audit(self, is_last: bool) -> tuple[Ledgers, list[str]]:
        """The last time the ledgers are read even if jobs are not over, for their differences say why."""
        refusals = [refusal for client in self.clients for refusal in client.refusals]
        empty = Ledgers({}, faults=self.faults)
        try:
            live = self.platform.rows("api", LIVE_JOBS, list(TERMINAL))
            restless = [f"it is not quiet: {job}" for job in live]
            if not is_last and (restless or not self.platform.outboxes_are_empty()):
                return empty, [*refusals, *restless, "it is not quiet"]
            queued = self.platform.rows("scheduler", QUEUED, [job["id"] for job in live])
            restless += [f"it is not quiet: the queue has {row}" for row in queued]
            ledgers = read(self.platform, self.accepted, self.sink.received, self.faults)
        except Exception as error:  # a service or an engine may still be starting
            return empty, [*refusals, f"the ledgers cannot be read: {error!r}"]
        return ledgers, [*refusals, *restless, *breaches(ledgers)]


@contextmanager
def rehearsal(seed: int, broker: str = "embedded", clients: int = 2) -> Iterator[Rehearsal]:
    """A platform of its own, whose last client's webhook hangs."""
    settings = LocalSettings(trainer_python=ROOT / ".trainer-venv/bin/python", models=ROOT / ".cache/models")
    rng, accepted = random.Random(seed), list[Row]()  # noqa: S311 - not a secret
    with (
        pytest.MonkeyPatch.context() as environment,
        TemporaryDirectory(prefix="brightrun-faults-") as home,
        Sink().serving() as sink,
    ):
        for name, value in SETTINGS.items():
            environment.setenv(f"BRIGHTRUN_{name}", value)
        with start_platform(Path(home), settings, broker) as platform:
            paths = ["/receive"] * (clients - 1) + ["/hang"]
            url, dataset = platform.programs.api_url, platform.sample(40)
            users = [Client(url, sink.url + path, dataset, random.Random(rng.random()), accepted) for path in paths]  # noqa: S311
            yield Rehearsal(platform, sink, users, rng, accepted)
