"""Secrets do not leak: the tests search everything that the platform stores, logs or returns."""

import asyncio
import json
from collections.abc import Iterator
from uuid import UUID, uuid4

import httpx
import pytest

from brightrun.local.engines import ROLES
from tests.flows.live_platform import Json, LivePlatform
from tests.kafka import read_all_topics
from tests.waiting import wait_until

PUBLIC = {"s3.access_key"}
"""Stored with the installation's secrets, but public: signed URLs carry it."""
UNREACHABLE_URL = "http://localhost:9/"
"""Nothing listens there, so that each delivery fails."""


def canary(prefix: str = "") -> str:
    return f"{prefix}canary{uuid4().hex}{uuid4().hex[:8]}"


class CanaryUser:
    """A user whose secrets are all known, and the error responses to their requests."""

    def __init__(self, platform: LivePlatform) -> None:
        self.platform = platform
        self.email = f"{uuid4().hex[:12]}@example.com"
        self.password, self.wrong = canary(), canary()
        self.unknown = [canary("brs_"), canary("br_"), canary("sk-"), canary("whsec_")]
        self.error_responses: list[str] = []
        self.api = httpx.Client(base_url=platform.programs.api_url, timeout=30)
        self.web = httpx.Client(base_url=platform.programs.web_url, timeout=30)
        account = self.create("/api/auth/register", {"email": self.email, "password": self.password})
        self.token: str = account["token"]
        self.api.headers["authorization"] = f"Bearer {self.token}"
        self.key: str = self.create("/api/keys", {"name": "canary", "scopes": ["admin"]})["key"]
        webhook = self.create("/api/webhooks", {"url": UNREACHABLE_URL})
        self.webhook = f"/api/webhooks/{webhook['id']}"
        self.signing = [webhook["secret"]]

    def create(self, path: str, body: Json) -> Json:
        response = self.api.post(path, json=body)
        assert response.is_success, response.text
        data: Json = response.json()["data"]
        return data

    def expect_error(self, method: str, path: str, **request: object) -> None:
        """Send a request that is rejected, and keep the response."""
        response = self.api.request(method, path, **request)  # type: ignore[arg-type]
        assert 400 <= response.status_code < 500, (path, response.status_code, response.text)
        self.error_responses.append(f"{response.text} {response.headers}")

    @property
    def secrets(self) -> dict[str, str]:
        """The user's secrets by name."""
        named = {"password": self.password, "wrong password": self.wrong, "session": self.token, "key": self.key}
        return (
            named
            | {f"unknown {secret[:5]}": secret for secret in self.unknown}
            | {f"webhook secret {number}": secret for number, secret in enumerate(self.signing)}
        )


def send_secrets(canary_user: CanaryUser) -> None:
    """Send each secret to places where an error may repeat it."""
    good, bad = (
        {"email": canary_user.email, "password": canary_user.password},
        {"email": canary_user.email, "password": canary_user.wrong},
    )
    canary_user.expect_error("POST", "/api/auth/login", json=bad)
    canary_user.expect_error("POST", "/api/auth/register", json=good)
    canary_user.expect_error(
        "POST", "/api/auth/register", json=good | {"email": canary_user.password, "name": [canary_user.password]}
    )
    canary_user.expect_error(
        "POST", "/api/auth/register", json={"password": [canary_user.wrong], "email": 7, "other": canary_user.password}
    )
    canary_user.expect_error(
        "POST", "/api/auth/login", content=json.dumps(good)[:-1], headers={"content-type": "application/json"}
    )
    canary_user.expect_error("POST", "/api/auth/login", data=good)
    canary_user.expect_error(
        "POST", "/api/auth/password", json={"old_password": canary_user.wrong, "new_password": canary_user.password}
    )
    canary_user.expect_error("GET", "/api/jobs", params={"page": canary_user.token, "status": canary_user.key})
    canary_user.expect_error("GET", f"/api/jobs/{canary_user.key}")
    for secret in (*canary_user.unknown, canary_user.wrong):
        for path in ("/api/auth/me", "/v1/models", f"/v1/files/{secret}"):
            canary_user.expect_error("GET", path, headers={"authorization": f"Bearer {secret}"})
    canary_user.expect_error("GET", "/api/auth/me", headers={"authorization": f"Basic {canary_user.token}"})
    canary_user.expect_error("POST", "/api/webhooks", json={"url": f"http://{canary_user.signing[0]}@127.0.0.1/"})
    origin = {"origin": canary_user.platform.programs.web_url}
    assert canary_user.web.post("/sign-in", data=bad, headers=origin).status_code in (401, 429)
    canary_user.signing.append(canary_user.create(f"{canary_user.webhook}/rotate", {"keep_previous": True})["secret"])
    canary_user.create(f"{canary_user.webhook}/test", {})
    with_key = {"authorization": f"Bearer {canary_user.key}"}
    sample = canary_user.platform.sample(12).read_bytes()
    upload = canary_user.api.post("/api/datasets", params={"name": "canary"}, content=sample, headers=with_key)
    dataset_id = upload.json()["data"]["id"]
    wait_until(lambda: canary_user.api.get(f"/api/datasets/{dataset_id}").json()["data"]["status"] == "ready")
    gpu, long = {"type": "CPU", "count": 1}, {"max_steps": 500}
    job = {"dataset_id": dataset_id, "preset_id": "fast", "gpu_config": gpu, "hyperparameters": long}
    job_id = canary_user.api.post("/api/jobs", json=job, headers=with_key).json()["data"]["id"]

    def is_(status: str) -> bool:
        return bool(canary_user.api.get(f"/api/jobs/{job_id}").json()["data"]["job"]["status"] == status)

    wait_until(lambda: is_("running"))
    assert canary_user.api.post(f"/api/jobs/{job_id}/cancel", headers=with_key).is_success
    wait_until(lambda: is_("cancelled"))


def logs(platform: LivePlatform) -> Iterator[tuple[str, str]]:
    for path in (platform.home / "logs").iterdir():
        yield f"log of {path.stem}", path.read_text(errors="replace")


def metrics(platform: LivePlatform) -> Iterator[tuple[str, str]]:
    for name, service in platform.programs.services.items():
        environment = service.environment()
        token = environment.get("BRIGHTRUN_METRICS_TOKEN")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        response = httpx.get(f"http://127.0.0.1:{environment['BRIGHTRUN_PORT']}/metrics", headers=headers)
        yield f"metrics of {name}", response.raise_for_status().text


def tables(platform: LivePlatform) -> Iterator[tuple[str, str]]:
    """Every row of every table, as text."""
    for role in ROLES:
        found = platform.rows(role, "SELECT tablename FROM pg_tables WHERE schemaname = $1", role)
        for name in (row["tablename"] for row in found):
            rows = platform.rows(role, f'SELECT t::text AS row FROM {role}."{name}" AS t')  # noqa: S608
            yield f"{role}.{name}", "\n".join(row["row"] for row in rows)


def events(platform: LivePlatform) -> Iterator[tuple[str, str]]:
    """Every record of every topic, dead letters included."""
    for record in asyncio.run(read_all_topics(platform.programs.broker.bootstrap)):
        yield f"topic {record.topic}", f"{record.key} {record.value} {record.headers}"


def run_folders(platform: LivePlatform) -> Iterator[tuple[str, str]]:
    for path in (platform.home / "cluster").rglob("*.json*"):
        yield f"file {path.name} of the cluster", path.read_text(errors="replace")


def leaks(secrets: dict[str, str], places: Iterator[tuple[str, str]]) -> set[tuple[str, str]]:
    """The name and place of each secret that is found."""
    places_searched = characters = 0
    leaking = set()
    for place, text in places:
        places_searched += 1
        characters += len(text)
        leaking |= {(name, place) for name, secret in secrets.items() if secret in text}
    assert places_searched, "there is nothing to search"
    assert characters, "there is no text to search"
    return leaking


@pytest.fixture(scope="module", name="canary_user")
def _canary_user(platform: LivePlatform) -> CanaryUser:
    canary_user = CanaryUser(platform)
    send_secrets(canary_user)
    wait_until(platform.outboxes_are_empty)
    return canary_user


@pytest.fixture(scope="module")
def installed(platform: LivePlatform) -> dict[str, str]:
    """The installation's secrets: of databases, store, cluster, and of requests between services."""
    known: dict[str, str] = json.loads((platform.home / "secrets.json").read_text())
    assert len(known) >= 10
    return {name: secret for name, secret in known.items() if name not in PUBLIC}


@pytest.mark.parametrize("places", [logs, metrics, tables, events, run_folders])
def test_no_secret_is_stored_or_logged(
    platform: LivePlatform, canary_user: CanaryUser, installed: dict[str, str], places
) -> None:
    assert leaks(canary_user.secrets | installed, places(platform)) == set()


def test_no_secret_is_returned(canary_user: CanaryUser, installed: dict[str, str]) -> None:
    leaked = leaks(
        canary_user.secrets | installed, (("an error response", text) for text in canary_user.error_responses)
    )

    assert leaked == set()


def test_the_search_finds_what_is_not_secret(platform: LivePlatform, canary_user: CanaryUser) -> None:
    """The address is found in the tables, the job in events and logs."""
    user = platform.rows("api", "SELECT id FROM users WHERE email = $1", canary_user.email)[0]["id"]
    job = platform.rows("api", "SELECT id FROM jobs WHERE user_id = $1", user)[0]["id"]
    known = {"address": canary_user.email, "user": str(user), "job": str(UUID(str(job)))}

    assert {name for name, _ in leaks(known, tables(platform))} == known.keys()
    assert {name for name, _ in leaks(known, events(platform))} >= {"user", "job"}
    assert "job" in {name for name, _ in leaks(known, logs(platform))}
