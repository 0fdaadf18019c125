"""What is secret stays where it belongs: looked for in everything that the platform writes down or tells."""

import asyncio
import json
from collections.abc import Iterator
from uuid import UUID, uuid4

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from brightrun.local.engines import ROLES
from tests.flows.house import House, Json, eventually

PUBLIC = {"s3.access_key"}
"""What is called a secret by the installation and is none: signed URLs carry it."""
READ_SECONDS = 30
NOWHERE = "http://localhost:9/"
"""Nobody listens there, so that each delivery is an error."""


def canary(prefix: str = "") -> str:
    return f"{prefix}canary{uuid4().hex}{uuid4().hex[:8]}"


class Cage:
    """A user whose every secret is known here, and everything that was refused to them."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.email = f"{uuid4().hex[:12]}@example.com"
        self.password, self.wrong = canary(), canary()
        self.unknown = [canary("brs_"), canary("br_"), canary("sk-"), canary("whsec_")]
        self.refusals: list[str] = []
        self.api = httpx.Client(base_url=house.platform.api_url, timeout=30)
        self.web = httpx.Client(base_url=house.platform.web_url, timeout=30)
        account = self.made("/api/auth/register", {"email": self.email, "password": self.password})
        self.token: str = account["token"]
        self.api.headers["authorization"] = f"Bearer {self.token}"
        self.key: str = self.made("/api/keys", {"name": "canary", "scopes": ["admin"]})["key"]
        webhook = self.made("/api/webhooks", {"url": NOWHERE})
        self.webhook = f"/api/webhooks/{webhook['id']}"
        self.signing = [webhook["secret"]]

    def made(self, path: str, body: Json) -> Json:
        answer = self.api.post(path, json=body)
        assert answer.is_success, answer.text
        made: Json = answer.json()["data"]
        return made

    def refused(self, method: str, path: str, **request: object) -> None:
        """Ask for what is refused, and keep the words."""
        answer = self.api.request(method, path, **request)  # type: ignore[arg-type]
        assert 400 <= answer.status_code < 500, (path, answer.status_code, answer.text)
        self.refusals.append(f"{answer.text} {answer.headers}")

    @property
    def secrets(self) -> dict[str, str]:
        """The user's, by what they are."""
        named = {"password": self.password, "wrong password": self.wrong, "session": self.token, "key": self.key}
        return (
            named
            | {f"unknown {secret[:5]}": secret for secret in self.unknown}
            | {f"webhook secret {number}": secret for number, secret in enumerate(self.signing)}
        )


def misuse(cage: Cage) -> None:
    """Send each secret to where it may end up in an error."""
    good, bad = {"email": cage.email, "password": cage.password}, {"email": cage.email, "password": cage.wrong}
    cage.refused("POST", "/api/auth/login", json=bad)
    cage.refused("POST", "/api/auth/register", json=good)
    cage.refused("POST", "/api/auth/register", json=good | {"email": cage.password, "name": [cage.password]})
    cage.refused("POST", "/api/auth/register", json={"password": [cage.wrong], "email": 7, "other": cage.password})
    cage.refused("POST", "/api/auth/login", content=json.dumps(good)[:-1], headers={"content-type": "application/json"})
    cage.refused("POST", "/api/auth/login", data=good)
    cage.refused("POST", "/api/auth/password", json={"old_password": cage.wrong, "new_password": cage.password})
    cage.refused("GET", "/api/jobs", params={"page": cage.token, "status": cage.key})
    cage.refused("GET", f"/api/jobs/{cage.key}")
    for secret in (*cage.unknown, cage.wrong):
        for path in ("/api/auth/me", "/v1/models", f"/v1/files/{secret}"):
            cage.refused("GET", path, headers={"authorization": f"Bearer {secret}"})
    cage.refused("GET", "/api/auth/me", headers={"authorization": f"Basic {cage.token}"})
    cage.refused("POST", "/api/webhooks", json={"url": f"http://{cage.signing[0]}@127.0.0.1/"})
    origin = {"origin": cage.house.platform.web_url}
    assert cage.web.post("/sign-in", data=bad, headers=origin).status_code in (401, 429)
    cage.signing.append(cage.made(f"{cage.webhook}/rotate", {"keep_previous": True})["secret"])
    cage.made(f"{cage.webhook}/test", {})
    with_key = {"authorization": f"Bearer {cage.key}"}
    sample = cage.house.sample(12).read_bytes()
    upload = cage.api.post("/api/datasets", params={"name": "canary"}, content=sample, headers=with_key)
    dataset_id = upload.json()["data"]["id"]
    eventually(lambda: cage.api.get(f"/api/datasets/{dataset_id}").json()["data"]["status"] == "ready")
    gpu, long = {"type": "CPU", "count": 1}, {"max_steps": 500}
    job = {"dataset_id": dataset_id, "preset_id": "fast", "gpu_config": gpu, "hyperparameters": long}
    job_id = cage.api.post("/api/jobs", json=job, headers=with_key).json()["data"]["id"]

    def is_(status: str) -> bool:
        return bool(cage.api.get(f"/api/jobs/{job_id}").json()["data"]["job"]["status"] == status)

    eventually(lambda: is_("running"), within=90)
    assert cage.api.post(f"/api/jobs/{job_id}/cancel", headers=with_key).is_success
    eventually(lambda: is_("cancelled"))


def logs(house: House) -> Iterator[tuple[str, str]]:
    for path in (house.home / "logs").iterdir():
        yield f"log of {path.stem}", path.read_text(errors="replace")


def metrics(house: House) -> Iterator[tuple[str, str]]:
    for name, service in house.platform.services.items():
        answer = httpx.get(f"http://127.0.0.1:{service.environment()['BRIGHTRUN_PORT']}/metrics")
        yield f"metrics of {name}", answer.raise_for_status().text


def tables(house: House) -> Iterator[tuple[str, str]]:
    """Every row of every table, as text."""
    for role in ROLES:
        found = house.rows(role, "SELECT tablename FROM pg_tables WHERE schemaname = $1", role)
        for name in (row["tablename"] for row in found):
            rows = house.rows(role, f'SELECT t::text AS row FROM {role}."{name}" AS t')  # noqa: S608
            yield f"{role}.{name}", "\n".join(row["row"] for row in rows)


def events(house: House) -> Iterator[tuple[str, str]]:
    """Every record of every topic, the dead letters as well."""
    for topic, record in asyncio.run(_records(house.platform.broker.bootstrap)):
        yield f"topic {topic}", record


async def _records(bootstrap: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    async with (
        AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False) as consumer,
        asyncio.timeout(READ_SECONDS),
    ):
        topics = await consumer.topics()
        partitions = [TopicPartition(topic, n) for topic in topics for n in consumer.partitions_for_topic(topic) or ()]
        firsts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        written = [partition for partition in partitions if firsts[partition] < ends[partition]]
        consumer.assign(written)
        for partition in written:
            consumer.seek(partition, firsts[partition])
        while any([await consumer.position(partition) < ends[partition] for partition in written]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [(record.topic, f"{record.key} {record.value} {record.headers}") for record in records]
    return found


def run_folders(house: House) -> Iterator[tuple[str, str]]:
    for path in (house.home / "cluster").rglob("*.json*"):
        yield f"file {path.name} of the cluster", path.read_text(errors="replace")


def leaks(secrets: dict[str, str], places: Iterator[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which secret is found where."""
    looked = found = 0
    leaking = set()
    for place, text in places:
        looked += 1
        found += len(text)
        leaking |= {(name, place) for name, secret in secrets.items() if secret in text}
    assert looked, "there is nothing to look into"
    assert found, "there is nothing in it"
    return leaking


@pytest.fixture(scope="module", name="cage")
def _cage(house: House) -> Cage:
    cage = Cage(house)
    misuse(cage)
    eventually(house.outboxes_are_empty)
    return cage


@pytest.fixture(scope="module")
def installed(house: House) -> dict[str, str]:
    """The installation's own secrets: of databases, store, cluster, and of the calls between services."""
    known: dict[str, str] = json.loads((house.home / "secrets.json").read_text())
    assert len(known) >= 10
    return {name: secret for name, secret in known.items() if name not in PUBLIC}


@pytest.mark.parametrize("places", [logs, metrics, tables, events, run_folders])
def test_no_secret_is_written_down(house: House, cage: Cage, installed: dict[str, str], places) -> None:
    assert leaks(cage.secrets | installed, places(house)) == set()


def test_no_secret_is_said_back(cage: Cage, installed: dict[str, str]) -> None:
    spoken = leaks(cage.secrets | installed, (("a refusal", words) for words in cage.refusals))

    assert spoken == set()


def test_what_was_looked_through_is_what_was_done(house: House, cage: Cage) -> None:
    """The search finds what is not secret: the address in the tables, the job in the events and the logs."""
    user = house.rows("api", "SELECT id FROM users WHERE email = $1", cage.email)[0]["id"]
    job = house.rows("api", "SELECT id FROM jobs WHERE user_id = $1", user)[0]["id"]
    known = {"address": cage.email, "user": str(user), "job": str(UUID(str(job)))}

    assert {name for name, _ in leaks(known, tables(house))} == known.keys()
    assert {name for name, _ in leaks(known, events(house))} >= {"user", "job"}
    assert "job" in {name for name, _ in leaks(known, logs(house))}
