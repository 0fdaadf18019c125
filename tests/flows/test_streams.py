"""A job's event stream on a real platform, also over a restart of the API service."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import httpx

from brightrun.local.first_user import FirstUser
from brightrun.runtime.server import STOP_SECONDS
from tests.flows.live_platform import Json, LivePlatform, has_artifact, has_trained_some_steps, submit, wait_for_job
from tests.waiting import wait_until


@dataclass
class Watcher:
    """A client that reconnects with its last event id when its stream ends before the job does."""

    platform: LivePlatform
    user: FirstUser
    job_id: str
    entries: list[Json] = field(default_factory=list)
    progress: list[tuple[float, Json]] = field(default_factory=list)

    def watch(self) -> Iterator[str]:
        """Read one stream to its end; yields the name of each event once it is recorded."""
        headers = {"authorization": self.user._http.headers["authorization"]}
        if self.entries:
            headers["last-event-id"] = str(self.entries[-1]["id"])
        url = f"{self.platform.programs.api_url}/api/jobs/{self.job_id}/events/stream"
        with httpx.stream("GET", url, headers=headers, timeout=30) as response:
            name = ""
            for line in response.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    self._record(name, json.loads(line.removeprefix("data: ")))
                    yield name

    def _record(self, name: str, data: Json) -> None:
        if name == "log":
            self.entries.append(data)
        else:
            self.progress.append((time.time(), data))


def log_of(user: FirstUser, job_id: str) -> list[Json]:
    entries: list[Json] = user.get(f"/api/jobs/{job_id}/events")["events"]
    return entries


def test_a_running_job_is_streamed_live_to_its_end(platform: LivePlatform) -> None:
    user = platform.new_user()
    job = submit(user, user.upload_dataset(platform.sample(40)), max_steps=40, batch_size=4)
    watcher = Watcher(platform, user, job["id"])
    for _ in watcher.watch():
        pass
    wait_for_job(user, job["id"], has_artifact)
    assert watcher.entries == log_of(user, job["id"])
    assert [entry["type"] for entry in watcher.entries][-2:] == ["completed", "artifact_ready"]
    steps = [progress["current_step"] for _, progress in watcher.progress]
    assert steps == sorted(steps)
    assert len(set(steps)) > 3
    assert {progress["status"] for _, progress in watcher.progress} >= {"running", "completed"}
    assert any("training_loss" in progress["current_metrics"] for _, progress in watcher.progress)
    end = ended_at(platform, job["id"])
    assert any(progress["current_step"] for moment, progress in watcher.progress if moment < end), "while it trains"


def ended_at(platform: LivePlatform, job_id: str) -> float:
    """When the cluster recorded the last event of the job, in seconds since 1970."""
    return max(datetime.fromisoformat(event["at"]).timestamp() for event in platform.cluster_events(job_id))


def test_a_stopping_api_ends_its_streams_and_no_entry_is_missed(platform: LivePlatform) -> None:
    user = platform.new_user()
    job = submit(user, user.upload_dataset(platform.sample(40)), max_steps=40, batch_size=4)
    wait_for_job(user, job["id"], has_trained_some_steps)
    watcher = Watcher(platform, user, job["id"])
    for name in watcher.watch():
        if name == "progress" and len(watcher.progress) == 2:
            platform.programs.services["api"].ask_to_stop()
            stop_requested = time.monotonic()
    assert time.monotonic() - stop_requested < STOP_SECONDS, "before the server closes connections by force"
    wait_until(platform.programs.services["api"].is_ready)
    while not watcher.entries or watcher.entries[-1]["type"] != "artifact_ready":
        for _ in watcher.watch():
            pass
    assert watcher.entries == log_of(user, job["id"])
    wait_for_job(user, job["id"], has_artifact)
