"""A running platform, its users, and the records of its services."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg

from brightrun.local.engines import ROLES
from brightrun.local.first_user import FirstUser
from brightrun.local.installation import Installation
from brightrun.local.platform import Platform, running
from brightrun.local.settings import LocalSettings
from tests.conftest import started
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "local/sample/conversations.jsonl"

Json = dict[str, Any]


@dataclass
class LivePlatform:
    """A platform that runs, and the settings that it was started with."""

    programs: Platform
    settings: LocalSettings
    home: Path

    def new_user(self) -> FirstUser:
        """A new user, signed in."""
        user = FirstUser(self.programs.api_url)
        user.sign_in(f"{uuid4().hex[:12]}@example.com", "a long enough password")
        return user

    def sample(self, examples: int) -> Path:
        """The first examples of the bundled data set, as a file."""
        path = self.home / f"sample-{examples}.jsonl"
        path.write_text("".join(SAMPLE.open().readlines()[:examples]))
        return path

    def rows(self, service: str, query: str, *arguments: object) -> list[Json]:
        """Rows of a service's tables."""

        async def fetch() -> list[Json]:
            connection = await asyncpg.connect(self.programs.postgres.url(service))
            try:
                return [dict(row) for row in await connection.fetch(query, *arguments)]
            finally:
                await connection.close()

        return asyncio.run(fetch())

    def cluster_runs(self, job_id: str) -> list[Json]:
        """The job's runs, from the cluster's database."""
        with closing(sqlite3.connect(self._cluster_database())) as database:
            rows = database.execute("SELECT run FROM runs").fetchall()
        return [run for (text,) in rows if (run := json.loads(text))["status"]["job_id"] == job_id]

    def emitted_steps(self, job_id: str) -> list[int]:
        """The steps of every metric point that the cluster ever emitted for the job."""
        return [point["step"] for event in self.cluster_events(job_id) for point in event["points"]]

    def cluster_events(self, job_id: str) -> list[Json]:
        """All events of the job, from the cluster's database, oldest first."""
        with closing(sqlite3.connect(self._cluster_database())) as database:
            events = [json.loads(text) for (text,) in database.execute("SELECT event FROM events ORDER BY cursor")]
        return [event for event in events if event["run"]["job_id"] == job_id]

    def outboxes_are_empty(self) -> bool:
        """Whether every event has been published."""
        return all(self.rows(role, "SELECT count(*) AS n FROM outbox")[0]["n"] == 0 for role in ROLES)

    def _cluster_database(self) -> Path:
        return self.home / "cluster" / "cluster.db"


@contextmanager
def start_platform(home: Path, settings: LocalSettings, broker: str = "embedded") -> Iterator[LivePlatform]:
    """Start the platform of `home`, on ports that it keeps. Other test workers start no engine meanwhile."""
    ports = Installation(home)
    changes = {
        "home": home,
        "api_port": ports.port("test.api"),
        "web_port": ports.port("test.web"),
        "kafka": broker,
    }
    messages: list[str] = []
    with started(lambda: running(settings.model_copy(update=changes), messages.append)) as programs:
        yield LivePlatform(programs, settings, home)


def submit(user: FirstUser, dataset: Json, **hyperparameters: object) -> Json:
    """Submit a job on the CPU; `hyperparameters` override small defaults."""
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


def wait_for_job(user: FirstUser, job_id: str, until: Callable[[Json], bool], within: float = 300.0) -> Json:
    """Wait until `until` holds of the job, and return it."""

    def reached() -> Json | None:
        job: Json = user.get(f"/api/jobs/{job_id}")["job"]
        return job if until(job) else None

    return wait_until(reached, within)


def has_artifact(job: Json) -> bool:
    """Whether the job's artifact is stored; a job that failed never gets one."""
    assert job["status"] not in ("failed", "cancelled"), job["error_message"]
    return job["artifact_id"] is not None


def has_trained_some_steps(job: Json) -> bool:
    """Whether the job is running and past its first steps."""
    assert job["status"] not in ("failed", "cancelled"), job["error_message"]
    return job["status"] == "running" and job["current_step"] >= 2
