import asyncio
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI

from brightrun.api.actions.accounts import register
from brightrun.api.loops import prune_sessions
from brightrun.api.settings import Settings
from brightrun.runtime.database import Pool
from tests.services.api.conftest import PASSWORD, User, gateway, in_turn

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


async def test_whoever_signs_up_beside_the_first_waits_and_is_no_admin(pool: Pool):
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


async def test_signing_in_gives_a_token_of_its_own(ada: User, anonymous: httpx.AsyncClient, app: FastAPI):
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


async def test_an_unknown_address_costs_a_whole_hash(ada: User, anonymous: httpx.AsyncClient, monkeypatch):
    verified = []

    class Recorder:
        def verify(self, stored: str, password: str) -> bool:
            verified.append(stored)
            return True

    monkeypatch.setattr("brightrun.api.passwords._HASHER", Recorder())
    answer = await anonymous.post("/api/auth/login", json={"email": "nobody@example.com", "password": PASSWORD})

    assert answer.status_code == 401
    assert verified[0].startswith("$argon2id$")


async def test_a_signed_out_token_is_of_no_use(ada: User, eve: User):
    assert (await ada.post("/api/auth/logout")).json() == {"success": True, "data": None}

    assert (await ada.get("/api/auth/me")).status_code == 401
    assert (await eve.get("/api/auth/me")).status_code == 200


async def test_an_expired_token_is_of_no_use_and_forgotten(ada: User, eve: User, pool: Pool):
    await pool.execute(
        "UPDATE sessions SET expires_at = now() - $2::interval WHERE user_id = $1", ada.id, timedelta(seconds=1)
    )

    assert (await ada.get("/api/auth/me")).status_code == 401
    await prune_sessions(pool)
    assert [row["user_id"] for row in await pool.fetch("SELECT user_id FROM sessions")] == [eve.id]


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer brs_unknown", "Basic YTpi", "Bearer \xff\xfe"])
async def test_a_token_that_is_none_is_refused(anonymous: httpx.AsyncClient, header: str):
    answer = await anonymous.get("/api/auth/me", headers={"authorization": header.encode("latin-1")})

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
