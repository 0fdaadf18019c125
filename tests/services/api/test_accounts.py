import asyncio
from datetime import timedelta

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from brightrun.api.accounts import user_queries as accounts
from brightrun.api.accounts.actions import change_password, register
from brightrun.api.accounts.models import ALL_SCOPES, Grant
from brightrun.api.accounts.models import User as Account
from brightrun.api.accounts.passwords import Passwords
from brightrun.api.loops import prune_sessions
from brightrun.api.settings import Settings
from brightrun.contracts.values import new_id
from brightrun.runtime.database import Connection, Pool
from tests.builders import NOON
from tests.services.api.conftest import PASSWORD, User, client_of, gateway, in_turn

ADA = {"email": "ada@example.com", "password": PASSWORD, "name": "Ada"}


async def test_signing_up_signs_in(anonymous: httpx.AsyncClient, app: FastAPI):
    answer = await anonymous.post("/api/auth/register", json=ADA | {"email": "Ada@Example.com"})

    assert answer.status_code == 201
    account = answer.json()["data"]
    assert account["user"].keys() == {"id", "email", "name", "role", "created_at"}
    assert (account["user"]["email"], account["user"]["name"]) == ("ada@example.com", "Ada")
    assert account["token"].startswith("brs_")
    me = await User(app, account).get("/api/auth/me")
    assert me.json() == {"success": True, "data": {"user": account["user"]}}


async def test_neither_the_password_nor_the_token_is_stored(ada: User, pool: Pool):
    stored = str(await pool.fetch("SELECT users::text, sessions::text FROM users, sessions"))

    assert PASSWORD not in stored
    assert ada.account["token"] not in stored
    assert "$argon2id$" in stored


async def test_only_the_first_of_many_who_sign_up_at_once_is_admin(anonymous: httpx.AsyncClient):
    answers = await asyncio.gather(
        *(anonymous.post("/api/auth/register", json=ADA | {"email": f"user{n}@example.com"}) for n in range(8))
    )

    roles = [answer.json()["data"]["user"]["role"] for answer in answers]
    assert sorted(roles) == ["admin"] + ["member"] * 7


async def test_a_concurrent_second_sign_up_waits_and_is_no_admin(pool: Pool):
    await in_turn(
        pool,
        lambda conn: register(conn, "ada@example.com", "", "hash"),
        lambda conn: register(conn, "eve@example.com", "", "hash"),
    )

    assert [tuple(row) for row in await pool.fetch("SELECT email, role FROM users ORDER BY id")] == [
        ("ada@example.com", "admin"),
        ("eve@example.com", "member"),
    ]


async def test_an_address_has_one_account(anonymous: httpx.AsyncClient):
    spellings = ("ada@example.com", "ADA@example.com", "ada@EXAMPLE.com")
    answers = await asyncio.gather(
        *(anonymous.post("/api/auth/register", json=ADA | {"email": spelling}) for spelling in spellings)
    )

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert {answer.json()["code"] for answer in answers if answer.is_error} == {"email_taken"}


async def test_sign_up_can_be_closed(pool: Pool, settings: Settings):
    async with gateway(pool, settings.model_copy(update={"signup_open": False})) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            answer = await client.post("/api/auth/register", json=ADA)

    assert (answer.status_code, answer.json()["code"]) == (403, "signup_closed")
    assert await pool.fetchval("SELECT count(*) FROM users") == 0


async def test_everything_wrong_with_a_sign_up_is_named_at_once(anonymous: httpx.AsyncClient):
    answer = await anonymous.post("/api/auth/register", json={"email": "ada", "password": "short", "role": "admin"})

    assert answer.status_code == 400
    assert answer.json()["details"].keys() == {"email", "password", "role"}


async def test_each_sign_in_has_its_own_token(ada: User, anonymous: httpx.AsyncClient, app: FastAPI):
    body = {"email": ada.account["user"]["email"].upper(), "password": PASSWORD}
    answer = await anonymous.post("/api/auth/login", json=body)

    assert answer.status_code == 200
    assert answer.json()["data"]["token"] != ada.account["token"]
    assert (await User(app, answer.json()["data"]).get("/api/auth/me")).status_code == 200


async def test_an_unknown_address_and_a_wrong_password_are_answered_alike(ada: User, anonymous: httpx.AsyncClient):
    wrong = {"email": ada.account["user"]["email"], "password": "not the password"}
    unknown = {"email": "nobody@example.com", "password": "not the password"}
    answers = [await anonymous.post("/api/auth/login", json=body) for body in (wrong, unknown)]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].json() == answers[1].json()


async def test_an_unknown_address_costs_a_whole_hash(ada: User, app: FastAPI, anonymous: httpx.AsyncClient):
    verified = []

    class Recorder(PasswordHasher):
        def verify(self, stored: str, password: str) -> bool:
            verified.append(stored)
            return True

    app.state.passwords = Passwords(Recorder())
    answer = await anonymous.post("/api/auth/login", json={"email": "nobody@example.com", "password": PASSWORD})

    assert answer.status_code == 401
    assert verified[0].startswith("$argon2id$")


async def test_a_signed_out_token_is_rejected(ada: User, eve: User):
    assert (await ada.post("/api/auth/logout")).json() == {"success": True, "data": None}

    assert (await ada.get("/api/auth/me")).status_code == 401
    assert (await eve.get("/api/auth/me")).status_code == 200


async def test_an_expired_token_is_rejected_and_deleted(ada: User, eve: User, pool: Pool):
    await pool.execute(
        "UPDATE sessions SET expires_at = now() - $2::interval WHERE user_id = $1", ada.id, timedelta(seconds=1)
    )

    assert (await ada.get("/api/auth/me")).status_code == 401
    await prune_sessions(pool)
    assert [row["user_id"] for row in await pool.fetch("SELECT user_id FROM sessions")] == [eve.id]


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer brs_unknown", "Basic YTpi", "Bearer \xff\xfe"])
async def test_an_invalid_token_is_rejected(anonymous: httpx.AsyncClient, header: str):
    answer = await anonymous.get("/api/auth/me", headers={"authorization": header.encode("latin-1")})

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


NEW_PASSWORD = "battery staple horse"


async def signed_in(app: FastAPI, user: User, client: str = "") -> httpx.AsyncClient:
    async with client_of(app) as visitor:
        body = {"email": user.account["user"]["email"], "password": PASSWORD}
        answer = await visitor.post("/api/auth/login", json=body, headers={"user-agent": client})
    return client_of(app, answer.json()["data"]["token"])


async def test_sign_in_methods_are_listed(anonymous: httpx.AsyncClient):
    assert (await anonymous.get("/api/auth/methods")).json()["data"] == {"signup_open": True, "oidc": None}


async def test_a_new_password_replaces_the_old_one_and_ends_the_other_sessions(
    ada: User, eve: User, app: FastAPI, anonymous: httpx.AsyncClient
):
    async with await signed_in(app, ada) as elsewhere:
        change = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
        assert (await ada.post("/api/auth/password", json=change)).json() == {"success": True, "data": None}
        assert (await elsewhere.get("/api/auth/me")).status_code == 401

    assert [(await user.get("/api/auth/me")).status_code for user in (ada, eve)] == [200, 200]
    address = ada.account["user"]["email"]
    answers = [
        await anonymous.post("/api/auth/login", json={"email": address, "password": password})
        for password in (PASSWORD, NEW_PASSWORD)
    ]
    assert [answer.status_code for answer in answers] == [401, 200]


async def test_a_password_is_changed_by_who_knows_it_only(ada: User, anonymous: httpx.AsyncClient):
    change = {"old_password": "not the password", "new_password": NEW_PASSWORD}
    answer = await ada.post("/api/auth/password", json=change)

    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_credentials")
    login = {"email": ada.account["user"]["email"], "password": PASSWORD}
    assert (await anonymous.post("/api/auth/login", json=login)).status_code == 200


async def test_everything_wrong_with_a_new_password_is_named_at_once(ada: User):
    answer = await ada.post("/api/auth/password", json={"old_password": "x" * 1025, "new_password": "short", "a": 1})

    assert answer.status_code == 400
    assert answer.json()["details"].keys() == {"old_password", "new_password", "a"}


async def test_who_signs_in_while_the_password_changes_does_so_with_the_new_one(pool: Pool):
    user = Account(new_id(), "ada@example.com", "", "member", NOON)
    await accounts.insert_user(pool, user, "old")
    valid = []

    async def sign_in(conn: Connection) -> None:
        valid.append(await accounts.confirm_password(conn, user.id, "old"))

    await in_turn(pool, lambda conn: change_password(conn, Grant(user, ALL_SCOPES), "old", "new"), sign_in)
    assert valid == [False]


async def test_sessions_are_listed_with_where_they_came_from(ada: User, app: FastAPI):
    async with await signed_in(app, ada, client="Firefox/150" + "x" * 300) as elsewhere:
        sessions = (await elsewhere.get("/api/auth/sessions")).json()["data"]["sessions"]

    assert [session["current"] for session in sessions] == [True, False]
    assert sessions[0].keys() == {"id", "created_at", "expires_at", "client", "current"}
    assert (sessions[0]["client"][:12], len(sessions[0]["client"])) == ("Firefox/150x", 200)


async def test_a_session_is_ended_from_another(ada: User, eve: User, app: FastAPI):
    async with await signed_in(app, ada) as elsewhere:
        sessions = (await elsewhere.get("/api/auth/sessions")).json()["data"]["sessions"]
        path = f"/api/auth/sessions/{sessions[1]['id']}"
        assert (await eve.delete(path)).status_code == 404
        assert (await elsewhere.delete(path)).status_code == 200
        assert (await elsewhere.delete(path)).status_code == 404
        assert [(await user.get("/api/auth/me")).status_code for user in (ada, elsewhere)] == [401, 200]


async def test_all_other_sessions_are_ended_at_once(ada: User, eve: User, app: FastAPI):
    async with await signed_in(app, ada) as elsewhere:
        assert (await elsewhere.delete("/api/auth/sessions")).status_code == 200
        users = (ada, elsewhere, eve)
        assert [(await user.get("/api/auth/me")).status_code for user in users] == [401, 200, 200]


async def test_a_user_changes_their_name_and_nothing_else(ada: User):
    answer = await ada.patch("/api/auth/me", json={"name": " Ada L. "})

    assert answer.json()["data"]["user"] == ada.account["user"] | {"name": "Ada L."}
    assert (await ada.get("/api/auth/me")).json()["data"]["user"]["name"] == "Ada L."
    wrong = await ada.patch("/api/auth/me", json={"name": "x" * 201, "role": "admin"})
    assert (wrong.status_code, wrong.json()["details"].keys()) == (400, {"name", "role"})


async def test_a_key_manages_the_account_only_if_it_may_and_is_not_signed_out_of(ada: User, app: FastAPI):
    async def answers(scope: str) -> list[int]:
        key = (await ada.post("/api/keys", json={"name": "laptop", "scopes": [scope]})).json()["data"]["key"]
        async with client_of(app, key) as program:
            return [
                (await program.post("/api/auth/password", json={})).status_code,
                (await program.get("/api/auth/sessions")).status_code,
                (await program.patch("/api/auth/me", json={"name": "Ada"})).status_code,
                (await program.post("/api/auth/logout")).status_code,
            ]

    assert await answers("train") == [403, 403, 403, 400]
    assert await answers("admin") == [400, 200, 200, 400]
