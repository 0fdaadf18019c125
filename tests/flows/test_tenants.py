"""Objects of one user do not exist for another: every object route over the real platform."""

from typing import Any
from uuid import UUID, uuid4

import httpx

from brightrun.local.first_user import FirstUser
from tests.flows.live_platform import LivePlatform, has_artifact, submit, wait_for_job
from tests.services.api.operations import Operation, read
from tests.services.api.test_matrix import OBJECT, ROUTES
from tests.waiting import wait_until

UNREACHABLE_URL = "http://localhost:9/"
EXCLUDED = {"delivery_id", "upload_id", "session_id"}
"""Path variables that the tests of the API service cover."""


def signed_in(platform: LivePlatform) -> tuple[FirstUser, httpx.Client]:
    """A new user, and an HTTP client with their token that raises no errors."""
    email, password = f"{uuid4().hex[:12]}@example.com", "a long enough password"
    user = FirstUser(platform.programs.api_url)
    user.sign_in(email, password)
    client = httpx.Client(base_url=platform.programs.api_url, timeout=30)
    token = client.post("/api/auth/login", json={"email": email, "password": password}).json()["data"]["token"]
    client.headers["authorization"] = f"Bearer {token}"
    return user, client


def objects_of(platform: LivePlatform, user: FirstUser, client: httpx.Client) -> dict[tuple[str, str], str]:
    """One object of each type, by dialect and path variable: a job that was really trained, and what it made."""
    dataset = user.upload_dataset(platform.sample(40))
    job = wait_for_job(user, submit(user, dataset)["id"], has_artifact)
    webhook = user.post("/api/webhooks", {"url": UNREACHABLE_URL})
    key = user.post("/api/keys", {"name": "laptop", "scopes": ["read"]})
    notifications: Any = wait_until(lambda: user.get("/api/notifications")["notifications"])
    [newest, *_] = user.get(f"/api/jobs/{job['id']}/checkpoints")["checkpoints"]
    models = [model["id"] for model in client.get("/v1/models").json()["data"]]
    return {
        ("api", "dataset_id"): dataset["id"],
        ("api", "job_id"): job["id"],
        ("api", "checkpoint_id"): newest["id"],
        ("api", "model_id"): job["artifact_id"],
        ("api", "webhook_id"): webhook["id"],
        ("api", "key_id"): key["id"],
        ("api", "notification_id"): notifications[0]["id"],
        ("v1", "file_id"): f"file-{UUID(dataset['id']).hex}",
        ("v1", "job_id"): f"ftjob-{UUID(job['id']).hex}",
        ("v1", "model"): next(model for model in models if model.startswith("ft:")),
        ("v1", "webhook_endpoint_id"): f"we_{UUID(webhook['id']).hex}",
    }


def test_objects_of_one_user_do_not_exist_for_another(platform: LivePlatform) -> None:
    user, owner = signed_in(platform)
    _, stranger = signed_in(platform)
    objects = objects_of(platform, user, owner)
    requested = set()
    for operation in object_operations(owner):
        if EXCLUDED.isdisjoint(operation.in_path):
            variables = {name: objects[operation.dialect, name] for name in operation.in_path}
            response = stranger.request(operation.method, operation.url(**variables), **operation.request)
            assert response.status_code == 404, (operation.name, response.text)
            if operation.method == "GET" and not operation.streams:
                own = owner.get(operation.url(**variables))
                assert own.status_code == 200, (operation.name, own.text)
            requested.add(operation.name)

    assert len(requested) >= 30


def object_operations(client: httpx.Client) -> list[Operation]:
    """The operations that name an object, from the live OpenAPI documents."""
    faces = {"api": client.get("/openapi.json").json(), "v1": client.get("/v1/openapi.json").json()}
    return [operation for operation in read(faces) if ROUTES[operation.name][0] == OBJECT]
