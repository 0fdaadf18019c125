"""A running platform with a user in it, and what the platform's own books say."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import asyncpg

from brightrun.local.engines import ROLES
from brightrun.local.first_user import FirstUser
from brightrun.local.installation import Installation
from brightrun.local.platform import Platform, running
from brightrun.local.settings import LocalSettings

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "local/sample/conversations.jsonl"

Json = dict[str, Any]
T = TypeVar("T")


@dataclass
class House:
    """The platform and the settings that it runs with."""

    platform: Platform
    settings: LocalSettings
    home: Path

    def new_user(self) -> FirstUser:
        """Somebody signed in who was not there before."""
        user = FirstUser(self.platform.api_url)
        user.sign_in(f"{uuid4().hex[:12]}@example.com", "a long enough password")
        return user

    def sample(self, examples: int) -> Path:
        """The first examples of the bundled data set, as a file."""
        path = self.home / f"sample-{examples}.jsonl"
        path.write_text("".join(SAMPLE.open().readlines()[:examples]))
        return path

    def rows(self, service: str, query: str, *arguments: object) -> list[Json]:
        """What a slice's own tables hold."""

        async def fetch() -> list[Json]:
            connection = await asyncpg.connect(self.platform.postgres.url(service))
            try:
                return [dict(row) for row in await connection.fetch(query, *arguments)]
            finally:
                await connection.close()

        return asyncio.run(fetch())

    def cluster_runs(self, job_id: str) -> list[Json]:
        """The cluster's own ledger of the job's runs."""
        with closing(sqlite3.connect(self._cluster_database())) as database:
            found = database.execute("SELECT run FROM runs").fetchall()
        return [run for (text,) in found if (run := json.loads(text))["status"]["job_id"] == job_id]

    def emitted_steps(self, job_id: str) -> list[int]:
        """The steps of every metric point that the cluster ever emitted for the job."""
        return [point["step"] for event in self.cluster_events(job_id) for point in event["points"]]

    def cluster_events(self, job_id: str) -> list[Json]:
        """What the cluster ever told of the job, oldest first."""
        with closing(sqlite3.connect(self._cluster_database())) as database:
            events = [json.loads(text) for (text,) in database.execute("SELECT event FROM events ORDER BY cursor")]
        return [event for event in events if event["run"]["job_id"] == job_id]

    def outboxes_are_empty(self) -> bool:
        """Whether every fact has been published."""
        return all(self.rows(role, "SELECT count(*) AS n FROM outbox")[0]["n"] == 0 for role in ROLES)

    def _cluster_database(self) -> Path:
        return self.home / "cluster" / "cluster.db"


def eventually(check: Callable[[], T | None], within: float = 30.0) -> T:
    """The first truthy value of `check`; fails when there is none `within` seconds."""
    deadline = time.monotonic() + within
    while not (value := check()):
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.2)
    return value


@contextmanager
def open_house(home: Path, settings: LocalSettings, broker: str = "embedded") -> Iterator[House]:
    """The platform of `home`, on ports of its own that it keeps."""
    ports = Installation(home)
    changes = {
        "home": home,
        "api_port": ports.port("test.api"),
        "web_port": ports.port("test.web"),
        "kafka": broker,
    }
    lines: list[str] = []
    with running(settings.model_copy(update=changes), lines.append) as platform:
        yield House(platform, settings, home)


def submit(user: FirstUser, dataset: Json, **hyperparameters: object) -> Json:
    """A job on the CPU with the given values over small ones."""
    small = {"learning_rate": 1e-3, "rank": 8, "batch_size": 8, "max_steps": 6}
    return user.post(
        "/api/jobs",
        {
            "dataset_id": dataset["id"],
            "preset_id": "custom",
            "gpu_config": {"type": "CPU", "count": 1},
            "hyperparameters": small | hyperparameters,
        },
    )


def follow(user: FirstUser, job_id: str, until: Callable[[Json], bool], within: float = 180.0) -> Json:
    """The job once `until` holds of it."""

    def reached() -> Json | None:
        job: Json = user.get(f"/api/jobs/{job_id}")["job"]
        return job if until(job) else None

    return eventually(reached, within)


def stored(job: Json) -> bool:
    """Whether the job's artifact is there; a job that failed never gets one."""
    assert job["status"] not in ("failed", "cancelled"), job["error_message"]
    return job["artifact_id"] is not None


def running_for_a_while(job: Json) -> bool:
    """Whether the job has taken some steps."""
    assert job["status"] not in ("failed", "cancelled"), job["error_message"]
    return job["status"] == "running" and job["current_step"] >= 2
