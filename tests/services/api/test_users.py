"""What admins do with accounts. Ada is the first user of the installation, so she is its admin."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from brightrun.api.accounts import actions
from brightrun.api.errors import LastAdmin
from brightrun.api.settings import Settings
from brightrun.contracts.values import new_id
from brightrun.runtime.database import Connection, Pool
from tests.services.api.conftest import PASSWORD, User, client_of, gateway, in_turn

BEN = {"email": "Ben@example.com", "name": "Ben", "password": PASSWORD}


def login(client: httpx.AsyncClient, email: str, password: str = PASSWORD) -> Any:
    return client.post("/api/auth/login", json={"email": email, "password": password})


async def test_only_admins_manage_accounts(eve: User):
    path = f"/api/admin/users/{eve.id}"
    answers = [
        await eve.get("/api/admin/users"),
        await eve.post("/api/admin/users", json=BEN),
        await eve.patch(path, json={"role": "admin"}),
        await eve.post(f"{path}/password", json={"password": "another password"}),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "admin_only")] * 4


async def test_accounts_are_listed_newest_first_and_paged(ada: User, eve: User):
    whole = (await ada.get("/api/admin/users")).json()["data"]
    second = (await ada.get("/api/admin/users?page=2&limit=1")).json()["data"]

    assert [user["id"] for user in whole["users"]] == [str(eve.id), str(ada.id)]
    assert whole["users"][1] == ada.account["user"] | {"disabled_at": None}
    assert [user["id"] for user in second["users"]] == [str(ada.id)]
    assert second["pagination"] == {"page": 2, "limit": 1, "total": 2, "totalPages": 2}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("BEN@", ["Ben_100%"]),
        ("ben_1", ["Ben_100%"]),
        ("%", ["Ben_100%"]),
        ("example.com", ["Ben_100%", ""]),
        ("zz", []),
    ],
)
async def test_accounts_are_found_by_a_part_of_address_or_name(ada: User, text: str, found: list[str]):
    await ada.post("/api/admin/users", json=BEN | {"name": "Ben_100%"})
    answer = (await ada.get("/api/admin/users", params={"search": text})).json()["data"]

    assert [user["name"] for user in answer["users"]] == found
    assert answer["pagination"]["total"] == len(found)


async def test_an_admin_opens_accounts_where_sign_up_is_closed(ada: User, pool: Pool, settings: Settings):
    async with (
        gateway(pool, settings.model_copy(update={"signup_open": False})) as app,
        client_of(app, ada.account["token"]) as admin,
        client_of(app) as visitor,
    ):
        assert (await visitor.post("/api/auth/register", json=BEN)).status_code == 403
        answer = await admin.post("/api/admin/users", json=BEN)
        assert answer.status_code == 201, answer.text
        assert (await login(visitor, "ben@example.com")).status_code == 200

    assert answer.json()["data"].keys() == {"id", "email", "name", "role", "created_at", "disabled_at"}
    assert (answer.json()["data"]["email"], answer.json()["data"]["role"]) == ("ben@example.com", "member")


async def test_an_account_without_a_password_rejects_sign_ins(ada: User, anonymous: httpx.AsyncClient):
    await ada.post("/api/admin/users", json={"email": "ben@example.com"})

    answers = [await login(anonymous, "ben@example.com", password) for password in ("", PASSWORD)]
    assert [answer.json()["code"] for answer in answers] == ["wrong_credentials"] * 2


async def test_an_address_has_one_account(ada: User, eve: User):
    answer = await ada.post("/api/admin/users", json=BEN | {"email": eve.account["user"]["email"]})

    assert (answer.status_code, answer.json()["code"]) == (409, "email_taken")


async def test_everything_wrong_with_an_account_is_named_at_once(ada: User, pool: Pool):
    made = await ada.post("/api/admin/users", json={"email": "x", "password": "short", "role": "root", "id": "1"})
    changed = await ada.patch(f"/api/admin/users/{ada.id}", json={"role": "root", "disabled": "perhaps", "email": "x"})

    assert made.status_code == changed.status_code == 400
    assert made.json()["details"].keys() == {"email", "password", "role", "id"}
    assert changed.json()["details"].keys() == {"role", "disabled", "email"}
    assert await pool.fetchval("SELECT count(*) FROM users") == 1


async def test_an_unknown_account_is_not_found(ada: User):
    path = f"/api/admin/users/{new_id()}"
    assert (await ada.patch(path, json={"role": "admin"})).status_code == 404
    assert (await ada.post(f"{path}/password", json={"password": "another password"})).status_code == 404


async def test_a_changed_role_takes_effect_immediately(ada: User, eve: User):
    answer = await ada.patch(f"/api/admin/users/{eve.id}", json={"role": "admin"})
    assert answer.json()["data"]["role"] == "admin"
    assert (await eve.get("/api/admin/users")).status_code == 200

    assert (await eve.patch(f"/api/admin/users/{ada.id}", json={"role": "member"})).status_code == 200
    assert (await ada.get("/api/admin/users")).status_code == 403


async def test_a_disabled_accounts_tokens_stop_at_once(
    ada: User, eve: User, app: FastAPI, anonymous: httpx.AsyncClient
):
    key = (await eve.post("/api/keys", json={"name": "laptop", "scopes": ["read"]})).json()["data"]["key"]
    async with client_of(app, key) as program:
        assert (await program.get("/api/jobs")).status_code == 200
        answer = await ada.patch(f"/api/admin/users/{eve.id}", json={"disabled": True})
        assert answer.json()["data"]["disabled_at"] is not None
        assert [(await client.get("/api/jobs")).status_code for client in (eve, program)] == [401, 401]
        assert (await login(anonymous, eve.account["user"]["email"])).json()["code"] == "account_disabled"
        assert (await login(anonymous, eve.account["user"]["email"], "wrong")).json()["code"] == "wrong_credentials"

        again = await ada.patch(f"/api/admin/users/{eve.id}", json={"disabled": True})
        assert again.json()["data"]["disabled_at"] == answer.json()["data"]["disabled_at"]

        await ada.patch(f"/api/admin/users/{eve.id}", json={"disabled": False})
        assert [(await client.get("/api/jobs")).status_code for client in (eve, program)] == [401, 200]
        assert (await login(anonymous, eve.account["user"]["email"])).status_code == 200


async def test_a_session_started_meanwhile_ends_too(eve: User, pool: Pool):
    await pool.execute("UPDATE users SET disabled_at = now() WHERE id = $1", eve.id)

    assert (await eve.get("/api/jobs")).status_code == 401


async def test_omitted_fields_are_kept(ada: User, eve: User):
    await ada.patch(f"/api/admin/users/{eve.id}", json={"role": "admin", "disabled": True})
    answer = await ada.patch(f"/api/admin/users/{eve.id}", json={})

    assert answer.json()["data"]["role"] == "admin"
    assert answer.json()["data"]["disabled_at"] is not None


@pytest.mark.parametrize("change", [{"role": "member"}, {"disabled": True}])
async def test_the_last_active_admin_stays(ada: User, eve: User, change: dict[str, Any]):
    await ada.patch(f"/api/admin/users/{eve.id}", json={"role": "admin", "disabled": True})
    answer = await ada.patch(f"/api/admin/users/{ada.id}", json=change)

    assert (answer.status_code, answer.json()["code"]) == (409, "last_admin")
    assert (await ada.get("/api/admin/users")).status_code == 200


async def test_two_admins_do_not_put_each_other_out(ada: User, eve: User, pool: Pool):
    await ada.patch(f"/api/admin/users/{eve.id}", json={"role": "admin"})

    def demote(user_id: UUID) -> Any:
        async def change(conn: Connection) -> None:
            await actions.change_user(conn, user_id, "member", disabled=None)

        return change

    with pytest.raises(LastAdmin):
        await in_turn(pool, demote(ada.id), demote(eve.id))
    assert await pool.fetchval("SELECT count(*) FROM users WHERE role = 'admin'") == 1


async def test_concurrent_demotions_leave_one_admin(ada: User, eve: User, pool: Pool):
    await ada.patch(f"/api/admin/users/{eve.id}", json={"role": "admin"})
    await asyncio.gather(
        *(user.patch(f"/api/admin/users/{user.id}", json={"disabled": True}) for user in (ada, eve) for _ in range(3))
    )

    assert await pool.fetchval("SELECT count(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL") == 1


async def test_a_password_that_was_reset_is_the_only_one(ada: User, eve: User, anonymous: httpx.AsyncClient):
    email = eve.account["user"]["email"]
    answer = await ada.post(f"/api/admin/users/{eve.id}/password", json={"password": "another password"})

    assert answer.status_code == 200
    assert (await eve.get("/api/jobs")).status_code == 401
    assert (await login(anonymous, email)).status_code == 401
    assert (await login(anonymous, email, "another password")).status_code == 200
