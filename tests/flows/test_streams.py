"""A job is watched while it trains, over a real platform; a gateway that is restarted costs the watcher nothing."""

import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import httpx

from brightrun.local.first_user import FirstUser
from tests.flows.house import House, Json, eventually, follow, running_for_a_while, stored, submit


@dataclass
class Watcher:
    """A client that comes back with the last id that it had whenever its stream ends before the job does."""

    house: House
    user: FirstUser
    job_id: str
    entries: list[Json] = field(default_factory=list)
    progress: list[tuple[float, Json]] = field(default_factory=list)

    def watch(self) -> Iterator[str]:
        """The name of each event, once it is noted; to the end of one stream."""
        headers = {"authorization": self.user._http.headers["authorization"]}
        if self.entries:
            headers["last-event-id"] = str(self.entries[-1]["id"])
        url = f"{self.house.platform.api_url}/api/jobs/{self.job_id}/events/stream"
        with httpx.stream("GET", url, headers=headers, timeout=30) as answer:
            name = ""
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    self._note(name, json.loads(line.removeprefix("data: ")))
                    yield name

    def _note(self, name: str, data: Json) -> None:
        if name == "log":
            self.entries.append(data)
        else:
            self.progress.append((time.time(), data))


def log_of(user: FirstUser, job_id: str) -> list[Json]:
    entries: list[Json] = user.get(f"/api/jobs/{job_id}/events")["events"]
    return entries


def test_a_running_job_is_watched_live_to_its_end(house: House) -> None:
    user = house.new_user()
    job = submit(user, user.upload_dataset(house.sample(40)), max_steps=40, batch_size=4)
    watcher = Watcher(house, user, job["id"])
    for _ in watcher.watch():
        pass
    follow(user, job["id"], stored)
    assert watcher.entries == log_of(user, job["id"])
    assert [entry["type"] for entry in watcher.entries][-2:] == ["completed", "artifact_ready"]
    steps = [told["current_step"] for _, told in watcher.progress]
    assert steps == sorted(steps)
    assert len(set(steps)) > 3
    assert {told["status"] for _, told in watcher.progress} >= {"running", "completed"}
    assert any("training_loss" in told["current_metrics"] for _, told in watcher.progress)
    assert statistics.median(delays(house, watcher)) < 2.0


def delays(house: House, watcher: Watcher) -> list[float]:
    """Seconds from when the cluster had recorded each step that was told to when the watcher had it."""
    recorded: dict[int, float] = {}
    for event in house.cluster_events(watcher.job_id):
        recorded.setdefault(event["run"]["current_step"], datetime.fromisoformat(event["at"]).timestamp())
    first_told = {told["current_step"]: moment for moment, told in reversed(watcher.progress)}
    return [moment - recorded[step] for step, moment in first_told.items() if step]


def test_a_gateway_that_stops_ends_streams_at_once_and_nothing_is_missed(house: House) -> None:
    user = house.new_user()
    job = submit(user, user.upload_dataset(house.sample(40)), max_steps=60, batch_size=4)
    follow(user, job["id"], running_for_a_while)
    watcher = Watcher(house, user, job["id"])
    for name in watcher.watch():
        if name == "progress" and len(watcher.progress) == 2:
            house.platform.services["api"].ask_to_stop()
            asked = time.monotonic()
    assert time.monotonic() - asked < 5
    eventually(house.platform.services["api"].is_ready, within=60)
    while not watcher.entries or watcher.entries[-1]["type"] != "artifact_ready":
        for _ in watcher.watch():
            pass
    assert watcher.entries == log_of(user, job["id"])
    follow(user, job["id"], stored)
