"""What one user has does not exist for another, whichever service holds it: object routes over the real platform."""

from typing import Any
from uuid import UUID, uuid4

import httpx

from brightrun.local.first_user import FirstUser
from tests.flows.house import House, eventually, follow, stored, submit
from tests.services.api.operations import Operation, read
from tests.services.api.test_matrix import OBJECT, ROUTES

NOWHERE = "http://localhost:9/"
LEFT_OUT = {"delivery_id", "upload_id", "session_id"}
"""Variables of paths that the gateway's own tests have objects for."""


def signed_in(house: House) -> tuple[FirstUser, httpx.Client]:
    """Somebody new, and a client with their token that refuses nothing."""
    email, password = f"{uuid4().hex[:12]}@example.com", "a long enough password"
    user = FirstUser(house.platform.api_url)
    user.sign_in(email, password)
    client = httpx.Client(base_url=house.platform.api_url, timeout=30)
    token = client.post("/api/auth/login", json={"email": email, "password": password}).json()["data"]["token"]
    client.headers["authorization"] = f"Bearer {token}"
    return user, client


def objects_of(house: House, user: FirstUser, client: httpx.Client) -> dict[tuple[str, str], str]:
    """One of each kind, by the face and the variable that name it: a job that was trained for real and what it left."""
    dataset = user.upload_dataset(house.sample(40))
    job = follow(user, submit(user, dataset)["id"], stored)
    webhook = user.post("/api/webhooks", {"url": NOWHERE})
    key = user.post("/api/keys", {"name": "laptop", "scopes": ["read"]})
    notified: Any = eventually(lambda: user.get("/api/notifications")["notifications"])
    models = [model["id"] for model in client.get("/v1/models").json()["data"]]
    return {
        ("api", "dataset_id"): dataset["id"],
        ("api", "job_id"): job["id"],
        ("api", "model_id"): job["artifact_id"],
        ("api", "webhook_id"): webhook["id"],
        ("api", "key_id"): key["id"],
        ("api", "notification_id"): notified[0]["id"],
        ("v1", "file_id"): f"file-{UUID(dataset['id']).hex}",
        ("v1", "job_id"): f"ftjob-{UUID(job['id']).hex}",
        ("v1", "model"): next(model for model in models if model.startswith("ft:")),
        ("v1", "webhook_endpoint_id"): f"we_{UUID(webhook['id']).hex}",
    }


def test_what_one_user_has_does_not_exist_for_another(house: House) -> None:
    user, owner = signed_in(house)
    _, stranger = signed_in(house)
    objects = objects_of(house, user, owner)
    asked = set()
    for operation in object_operations(owner):
        if LEFT_OUT.isdisjoint(operation.in_path):
            variables = {name: objects[operation.face, name] for name in operation.in_path}
            answer = stranger.request(operation.method, operation.url(**variables), **operation.request)
            assert answer.status_code == 404, (operation.name, answer.text)
            if operation.method == "GET" and not operation.streams:
                found = owner.get(operation.url(**variables))
                assert found.status_code == 200, (operation.name, found.text)
            asked.add(operation.name)

    assert len(asked) >= 30


def object_operations(client: httpx.Client) -> list[Operation]:
    """Those that name an object, as the live documents tell of them."""
    faces = {"api": client.get("/openapi.json").json(), "v1": client.get("/v1/openapi.json").json()}
    return [operation for operation in read(faces) if ROUTES[operation.name][0] == OBJECT]
