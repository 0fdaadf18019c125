"""Who may do what: every operation of every dialect against everybody who might ask."""

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from brightrun.api.settings import Settings
from brightrun.contracts.values import new_id
from brightrun.runtime.database import Pool
from tests.builders import NOON
from tests.services.api.conftest import User, client_of
from tests.services.api.fakes import Fakes
from tests.services.api.objects import Objects, key_of
from tests.services.api.operations import Operation, operations_of
from tests.services.slices import serve

Json = dict[str, Any]

OPEN = "open"
"""Asks for no token."""
OWN = "own"
"""Is about the caller alone: what others have is not in it."""
OBJECT = "object"
"""Names an object in its path: another's does not exist, for admins neither."""
ADMIN = "admin"
"""Is about the installation: for its admins only."""

# Every operation has its row here, with what it is about and the scope that a token needs. A new one fails the tests
# until it has: give it the strictest row that is true. Objects for its path are made in objects.py.
ROUTES: dict[str, tuple[str, str | None]] = {
    "GET /api/auth/methods": (OPEN, None),
    "POST /api/auth/register": (OPEN, None),
    "POST /api/auth/login": (OPEN, None),
    "GET /api/auth/oidc": (OPEN, None),
    "GET /api/auth/oidc/callback": (OPEN, None),
    "POST /api/auth/oidc/token": (OPEN, None),
    "POST /api/auth/logout": (OWN, "read"),
    "GET /api/auth/me": (OWN, "read"),
    "PATCH /api/auth/me": (OWN, "admin"),
    "POST /api/auth/password": (OWN, "admin"),
    "GET /api/auth/sessions": (OWN, "admin"),
    "DELETE /api/auth/sessions": (OWN, "admin"),
    "DELETE /api/auth/sessions/{session_id}": (OBJECT, "admin"),
    "GET /api/keys": (OWN, "admin"),
    "POST /api/keys": (OWN, "admin"),
    "DELETE /api/keys/{key_id}": (OBJECT, "admin"),
    "GET /api/admin/audit": (ADMIN, "admin"),
    "GET /api/admin/users": (ADMIN, "admin"),
    "POST /api/admin/users": (ADMIN, "admin"),
    "PATCH /api/admin/users/{user_id}": (ADMIN, "admin"),
    "POST /api/admin/users/{user_id}/password": (ADMIN, "admin"),
    "GET /api/admin/prices": (ADMIN, "admin"),
    "GET /api/admin/prices/history": (ADMIN, "admin"),
    "PUT /api/admin/prices/gpus/{gpu_type}": (ADMIN, "admin"),
    "PUT /api/admin/prices/base-models/{name}": (ADMIN, "admin"),
    "PUT /api/admin/prices/storage": (ADMIN, "admin"),
    "GET /api/admin/clusters": (ADMIN, "admin"),
    "POST /api/admin/clusters/{name}/drain": (ADMIN, "admin"),
    "POST /api/admin/clusters/{name}/undrain": (ADMIN, "admin"),
    "GET /api/admin/users/{user_id}/share": (ADMIN, "admin"),
    "PUT /api/admin/users/{user_id}/share": (ADMIN, "admin"),
    "PUT /api/admin/jobs/{job_id}/priority": (ADMIN, "admin"),
    "POST /api/datasets": (OWN, "train"),
    "GET /api/datasets": (OWN, "read"),
    "GET /api/datasets/{dataset_id}": (OBJECT, "read"),
    "PATCH /api/datasets/{dataset_id}": (OBJECT, "train"),
    "DELETE /api/datasets/{dataset_id}": (OBJECT, "train"),
    "GET /api/datasets/{dataset_id}/errors": (OBJECT, "read"),
    "GET /api/datasets/{dataset_id}/warnings": (OBJECT, "read"),
    "GET /api/datasets/{dataset_id}/report": (OBJECT, "read"),
    "GET /api/datasets/{dataset_id}/preview": (OBJECT, "read"),
    "POST /api/datasets/{dataset_id}/drop-invalid": (OBJECT, "train"),
    "GET /api/gpus": (OWN, "read"),
    "GET /api/base-models": (OWN, "read"),
    "GET /api/presets": (OWN, "read"),
    "POST /api/jobs/estimate": (OWN, "read"),
    "POST /api/jobs": (OWN, "train"),
    "GET /api/jobs": (OWN, "read"),
    "GET /api/jobs/{job_id}": (OBJECT, "read"),
    "DELETE /api/jobs/{job_id}": (OBJECT, "train"),
    "GET /api/jobs/{job_id}/metrics": (OBJECT, "read"),
    "GET /api/jobs/{job_id}/events": (OBJECT, "read"),
    "GET /api/jobs/{job_id}/events/stream": (OBJECT, "read"),
    "GET /api/jobs/{job_id}/checkpoints": (OBJECT, "read"),
    "POST /api/jobs/{job_id}/checkpoints/{checkpoint_id}/download": (OBJECT, "read"),
    "GET /api/jobs/{job_id}/queue": (OBJECT, "read"),
    "POST /api/jobs/{job_id}/cancel": (OBJECT, "train"),
    "POST /api/jobs/{job_id}/pause": (OBJECT, "train"),
    "POST /api/jobs/{job_id}/resume": (OBJECT, "train"),
    "POST /api/jobs/{job_id}/finish": (OBJECT, "train"),
    "POST /api/jobs/{job_id}/retry": (OBJECT, "train"),
    "POST /api/jobs/{job_id}/clone": (OBJECT, "train"),
    "GET /api/models": (OWN, "read"),
    "GET /api/models/{model_id}": (OBJECT, "read"),
    "PATCH /api/models/{model_id}": (OBJECT, "train"),
    "DELETE /api/models/{model_id}": (OBJECT, "train"),
    "POST /api/models/{model_id}/download": (OBJECT, "read"),
    "POST /api/models/{model_id}/generate": (OBJECT, "train"),
    "GET /api/costs": (OWN, "read"),
    "GET /api/metrics": (OWN, "read"),
    "GET /api/notifications": (OWN, "read"),
    "PATCH /api/notifications/{notification_id}/read": (OBJECT, "train"),
    "POST /api/notifications/read-all": (OWN, "train"),
    "GET /api/webhooks": (OWN, "read"),
    "POST /api/webhooks": (OWN, "admin"),
    "GET /api/webhooks/event-types": (OWN, "read"),
    "GET /api/webhooks/{webhook_id}": (OBJECT, "read"),
    "PATCH /api/webhooks/{webhook_id}": (OBJECT, "admin"),
    "DELETE /api/webhooks/{webhook_id}": (OBJECT, "admin"),
    "POST /api/webhooks/{webhook_id}/rotate": (OBJECT, "admin"),
    "POST /api/webhooks/{webhook_id}/test": (OBJECT, "admin"),
    "GET /api/webhooks/{webhook_id}/deliveries": (OBJECT, "read"),
    "POST /api/webhooks/{webhook_id}/deliveries/{delivery_id}/replay": (OBJECT, "admin"),
    "POST /v1/files": (OWN, "train"),
    "GET /v1/files": (OWN, "read"),
    "GET /v1/files/{file_id}": (OBJECT, "read"),
    "DELETE /v1/files/{file_id}": (OBJECT, "train"),
    "GET /v1/files/{file_id}/content": (OBJECT, "read"),
    "POST /v1/uploads": (OWN, "train"),
    "POST /v1/uploads/{upload_id}/parts": (OBJECT, "train"),
    "POST /v1/uploads/{upload_id}/complete": (OBJECT, "train"),
    "POST /v1/uploads/{upload_id}/cancel": (OBJECT, "train"),
    "POST /v1/fine_tuning/jobs": (OWN, "train"),
    "GET /v1/fine_tuning/jobs": (OWN, "read"),
    "GET /v1/fine_tuning/jobs/{job_id}": (OBJECT, "read"),
    "GET /v1/fine_tuning/jobs/{job_id}/events": (OBJECT, "read"),
    "GET /v1/fine_tuning/jobs/{job_id}/checkpoints": (OBJECT, "read"),
    "POST /v1/fine_tuning/jobs/{job_id}/cancel": (OBJECT, "train"),
    "POST /v1/fine_tuning/jobs/{job_id}/pause": (OBJECT, "train"),
    "POST /v1/fine_tuning/jobs/{job_id}/resume": (OBJECT, "train"),
    "GET /v1/models": (OWN, "read"),
    "GET /v1/models/{model}": (OBJECT, "read"),
    "DELETE /v1/models/{model}": (OBJECT, "train"),
    "GET /v1/webhook_event_types": (OWN, "read"),
    "POST /v1/webhook_endpoints": (OWN, "admin"),
    "GET /v1/webhook_endpoints": (OWN, "read"),
    "GET /v1/webhook_endpoints/{webhook_endpoint_id}": (OBJECT, "read"),
    "POST /v1/webhook_endpoints/{webhook_endpoint_id}": (OBJECT, "admin"),
    "DELETE /v1/webhook_endpoints/{webhook_endpoint_id}": (OBJECT, "admin"),
    "POST /v1/webhook_endpoints/{webhook_endpoint_id}/rotate_secret": (OBJECT, "admin"),
    "POST /v1/webhook_endpoints/{webhook_endpoint_id}/test": (OBJECT, "admin"),
}

UNDOCUMENTED = {
    "/health",
    "/metrics",
    "/openapi.json",
    "/asyncapi.json",
    "/docs",
    "/docs/v1",
    "/docs/events",
    "/docs/swagger/{path}",
    "/docs/static/{path}",
    "/v1/openapi.json",
}
"""What is no operation and tells nobody's things: open to all."""

GRANTS = {"read": {"read"}, "train": {"read", "train"}, "admin": {"read", "train", "admin"}}
"""What a key may do that was made with one scope."""

NAMES_OF_OTHERS = {"preset_id"}
"""Fields of bodies that look as if they named an object of a user, and do not."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Without limits on how often somebody may ask."""
    return settings.model_copy(update={"rate_limit_reads": 0, "rate_limit_changes": 0, "rate_limit_anonymous": 0})


@pytest.fixture
def operations(app: FastAPI) -> list[Operation]:
    return operations_of(app)


def kinds(operations: list[Operation], *kinds: str) -> list[Operation]:
    return [operation for operation in operations if ROUTES[operation.name][0] in kinds]


async def ask(client: httpx.AsyncClient, operation: Operation, variables: Json | None = None, **request: Any) -> Any:
    """Ask with a body that is right, for nobody's object unless `variables` name one."""
    variables = variables or dict.fromkeys(operation.in_path, new_id())
    return await client.request(operation.method, operation.url(**variables), **operation.request | request)


NAMES_JOBS = {"GET /api/metrics"}
"""No list: its query names jobs, and test_comparison.py tries those of others."""


def code_of(operation: Operation, answer: httpx.Response) -> str:
    body = answer.json()
    return str(body["code"] if operation.dialect == "api" else body["error"]["code"])


def test_every_operation_is_classified_and_none_is_left_over(operations: list[Operation]) -> None:
    assert {operation.name for operation in operations} == ROUTES.keys()


def test_a_token_needs_just_the_scope_that_the_table_says(operations: list[Operation]) -> None:
    documented = {operation.name: operation.scopes for operation in operations}

    assert documented == {name: {scope} if scope else None for name, (_, scope) in ROUTES.items()}


def test_nothing_is_served_that_is_not_documented(app: FastAPI, operations: list[Operation]) -> None:
    documented = {(operation.method, operation.path) for operation in operations}

    assert {path for method, path in set(served_by(app)) - documented} == UNDOCUMENTED


def served_by(app: FastAPI, below: str = "") -> Iterator[tuple[str, str]]:
    """Each method and path of the application and of those mounted in it."""
    for context in iter_route_contexts(app.routes):
        mounted = context.original_route
        if isinstance(mounted, Mount) and isinstance(mounted.app, FastAPI):
            yield from served_by(mounted.app, below + mounted.path)
        else:
            path = below + (context.path_format or context.path or "")
            yield from ((method, path) for method in (context.methods or {"GET"}) - {"HEAD"})


@pytest.mark.parametrize("path", sorted(path for path in UNDOCUMENTED - {"/metrics"} if "{" not in path))
async def test_documents_and_health_are_open(anonymous: httpx.AsyncClient, path: str) -> None:
    assert (await anonymous.get(path)).status_code == 200


Person = Callable[[], Awaitable[User]]


@pytest_asyncio.fixture
async def dead_tokens(ada: User, new_user: Person, pool: Pool) -> dict[str, str]:
    """Tokens that once were good, by what became of them."""
    people = [await new_user() for _ in range(5)]
    signed_out, expired, revoked, outlived, disabled = people
    tokens = {
        "signed out": signed_out.account["token"],
        "expired": expired.account["token"],
        "revoked key": await key_of(revoked),
        "expired key": await key_of(outlived, expires_in_days=1),
        "disabled": disabled.account["token"],
        "key of somebody disabled": await key_of(disabled),
    }
    assert (await signed_out.post("/api/auth/logout")).status_code == 200
    (key,) = (await revoked.get("/api/keys")).json()["data"]["keys"]
    assert (await revoked.delete(f"/api/keys/{key['id']}")).status_code == 200
    past = "now() - interval '1 second'"
    await pool.execute(f"UPDATE sessions SET expires_at = {past} WHERE user_id = $1", expired.id)  # noqa: S608
    await pool.execute(f"UPDATE api_keys SET expires_at = {past} WHERE user_id = $1", outlived.id)  # noqa: S608
    assert (await ada.patch(f"/api/admin/users/{disabled.id}", json={"disabled": True})).status_code == 200
    return tokens


async def test_every_route_rejects_an_invalid_token(
    app: FastAPI, operations: list[Operation], dead_tokens: dict[str, str]
) -> None:
    let_in = []
    for who, token in {"anonymous": "", "unknown": f"brs_{'x' * 43}", **dead_tokens}.items():
        async with client_of(app, token) as client:
            for operation in kinds(operations, OWN, OBJECT, ADMIN):
                answer = await ask(client, operation)
                if answer.status_code != 401 or answer.headers.get("www-authenticate") != "Bearer":
                    let_in.append((who, operation.name, answer.status_code))

    assert let_in == []


@pytest.mark.parametrize("scheme", ["", "Basic ", "bearer", "Token "])
async def test_a_token_needs_the_bearer_scheme(
    app: FastAPI, ada: User, operations: list[Operation], scheme: str
) -> None:
    async with client_of(app) as client:
        client.headers["authorization"] = f"{scheme}{ada.account['token']}"
        client.params = {"token": ada.account["token"], "access_token": ada.account["token"]}
        for operation in kinds(operations, OWN, OBJECT, ADMIN):
            assert (await ask(client, operation)).status_code == 401, operation.name


@pytest.mark.parametrize("scope", GRANTS)
async def test_a_key_does_what_its_scopes_say_and_no_more(
    app: FastAPI, ada: User, operations: list[Operation], scope: str
) -> None:
    """Ada is an admin, so nothing but the key stops her."""
    async with client_of(app, await key_of(ada, scope)) as client:
        for operation in kinds(operations, OWN, OBJECT, ADMIN):
            answer = await ask(client, operation)
            if ROUTES[operation.name][1] in GRANTS[scope]:
                let_in = answer.status_code not in (401, 403) or code_of(operation, answer) == "wrong_credentials"
                assert let_in, (operation.name, answer.text)
            else:
                assert (answer.status_code, code_of(operation, answer)) == (403, "wrong_scope"), operation.name


async def test_only_admins_run_the_installation(
    app: FastAPI, ada: User, eve: User, operations: list[Operation], fakes: Fakes
) -> None:
    job_id = new_id()
    fakes.scheduler.hold_job(eve.id, job_id)
    names = {"gpu_type": "CPU", "name": "tiny", "job_id": job_id}
    for token in (eve.account["token"], await key_of(eve)):
        async with client_of(app, token) as client:
            for operation in kinds(operations, ADMIN):
                answer = await ask(client, operation, names | {"user_id": ada.id})
                assert (answer.status_code, code_of(operation, answer)) == (403, "admin_only"), operation.name

    for operation in kinds(operations, ADMIN):
        answer = await ask(ada, operation, names | {"user_id": eve.id})
        assert answer.status_code in (200, 201), (operation.name, answer.text)


@pytest.fixture
def objects(eve: User, pool: Pool, fakes: Fakes) -> Objects:
    """Eve's."""
    entry = {
        "id": 8,
        "type": "queued",
        "level": "info",
        "message": "Queued.",
        "data": {},
        "occurred_at": NOON.isoformat(),
    }
    fakes.tracker.entries = [entry]
    return Objects(eve, pool, fakes)


async def test_another_users_object_does_not_exist(
    app: FastAPI, ada: User, new_user: Person, objects: Objects, operations: list[Operation]
) -> None:
    """Neither for an admin nor for another member; its owner has it all the same afterwards."""
    strangers = [ada, await new_user()]
    async with serve(app) as url, httpx.AsyncClient(base_url=url, headers=objects.owner.headers) as owner:
        for operation in kinds(operations, OBJECT):
            theirs = await objects.for_path(operation.dialect, operation.in_path)
            nobodys = {name: another(value) for name, value in theirs.items()}
            for stranger in strangers:
                refused = await ask(stranger, operation, theirs)
                unknown = await ask(stranger, operation, nobodys)
                assert refused.status_code == 404, (operation.name, refused.text)
                assert unknown.status_code == 404, (operation.name, unknown.text)
                assert code_of(operation, refused) == code_of(operation, unknown), operation.name
            status = await status_of(owner, operation, theirs)
            assert status not in (401, 403, 404, 500), (operation.name, status)


def another(identifier: str) -> str:
    """An identifier of the same kind that means nothing."""
    return re.sub(
        "[0-9a-f]{32}|[0-9a-f-]{36}", lambda found: new_id().hex if len(found[0]) == 32 else str(new_id()), identifier
    )


async def status_of(client: httpx.AsyncClient, operation: Operation, variables: Json) -> int:
    """The status alone: a stream would not end."""
    async with client.stream(operation.method, operation.url(**variables), **operation.request) as answer:
        return answer.status_code


async def test_what_others_have_is_in_no_list(ada: User, objects: Objects, operations: list[Operation]) -> None:
    made = [
        await make(objects)
        for make in (
            Objects.dataset,
            Objects.finished_job,
            Objects.model,
            Objects.webhook,
            Objects.key,
            Objects.session,
        )
    ]
    names = [name for identifier in made for name in (str(identifier), identifier.hex)]
    telling = set()
    for operation in kinds(operations, OWN):
        if operation.method == "GET" and operation.name not in NAMES_JOBS:
            own, leaked = await ask(objects.owner, operation), await ask(ada, operation)
            assert own.status_code == leaked.status_code == 200, (operation.name, own.text, leaked.text)
            telling |= {operation.name for name in names if name in own.text}
            assert [name for name in names if name in leaked.text] == [], operation.name

    assert telling >= {
        f"GET /api/{things}" for things in ("datasets", "jobs", "models", "webhooks", "keys", "auth/sessions")
    }
    assert telling >= {f"GET /v1/{things}" for things in ("files", "fine_tuning/jobs", "models", "webhook_endpoints")}


REFERENCES: dict[str, Callable[[Objects], Awaitable[Any]]] = {
    "dataset_id": Objects.dataset,
    "training_file": Objects.dataset,
    "validation_file": Objects.dataset,
    "validation_dataset_id": Objects.dataset,
    "init_from": Objects.model,
}


def test_every_reference_in_a_body_is_known(operations: list[Operation]) -> None:
    found = {name for operation in operations if operation.takes_json for name in named_in(operation.body_schema)}

    assert found - NAMES_OF_OTHERS <= REFERENCES.keys()


def named_in(schema: Json) -> set[str]:
    fields = schema.get("properties", {})
    inner = {name for field in fields.values() for choice in field.get("anyOf", [field]) for name in named_in(choice)}
    return inner | {name for name in fields if name.endswith(("_id", "_file", "_from"))}


async def test_a_body_cannot_name_what_others_have(ada: User, objects: Objects, operations: list[Operation]) -> None:
    tried = 0
    for operation in operations:
        if not operation.takes_json or ROUTES[operation.name][0] != OWN:
            continue
        for name in operation.body_schema.get("properties", {}).keys() & REFERENCES.keys():
            identifier = await REFERENCES[name](objects)
            body = operation.example | {
                name: str(identifier) if operation.dialect == "api" else f"file-{identifier.hex}"
            }
            refused = await ask(ada, operation, json=body)
            unknown = await ask(ada, operation, json=operation.example | {name: another(body[name])})
            assert refused.status_code in (400, 404), (operation.name, refused.text)
            assert (refused.status_code, code_of(operation, refused)) == (
                unknown.status_code,
                code_of(operation, unknown),
            )
            tried += 1

    assert tried >= 4
