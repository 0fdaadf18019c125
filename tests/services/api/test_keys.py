"""API keys act for their owner, within their scopes and their time."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.database import Pool
from tests.services.api.conftest import User, client_of, limit, submission, validated_dataset


async def made(user: httpx.AsyncClient, *scopes: str, **more: Any) -> dict[str, Any]:
    answer = await user.post("/api/keys", json={"name": "laptop", "scopes": list(scopes)} | more)
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]


class Counting:
    """A pool that records its statements."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.ran: list[str] = []

    def __getattr__(self, name: str) -> Any:
        async def run(*args: Any) -> Any:
            self.ran.append(args[0].split()[0])
            return await getattr(self._pool, name)(*args)

        return run


async def test_a_key_is_shown_once_and_stored_as_a_digest(ada: User, pool: Pool):
    key = await made(ada, "train")

    assert key["key"].startswith("br_")
    assert key["prefix"] == key["key"][:10]
    stored = str(await pool.fetch("SELECT api_keys::text FROM api_keys"))
    assert key["key"] not in stored
    assert key["prefix"] in stored
    listed = (await ada.get("/api/keys")).json()["data"]["keys"]
    assert listed == [{name: value for name, value in key.items() if name != "key"}]


@pytest.mark.parametrize(
    ("scope", "implied"), [("read", ["read"]), ("train", ["read", "train"]), ("admin", ["admin", "read", "train"])]
)
async def test_a_scope_brings_the_lesser_ones(ada: User, scope: str, implied: list[str]):
    assert (await made(ada, scope))["scopes"] == implied


async def test_a_key_does_what_its_scopes_allow(ada: User, app: FastAPI, pool: Pool):
    job = submission(await validated_dataset(pool, ada))
    answers = {}
    for scope in ("read", "train", "admin"):
        async with client_of(app, (await made(ada, scope))["key"]) as program:
            answers[scope] = [
                (await program.get("/api/jobs")).status_code,
                (await program.post("/api/jobs", json=job)).status_code,
                (await program.get("/api/keys")).status_code,
            ]

    assert answers == {"read": [200, 403, 403], "train": [200, 201, 403], "admin": [200, 201, 200]}


async def test_a_missing_scope_is_named(ada: User, app: FastAPI):
    async with client_of(app, (await made(ada, "read"))["key"]) as program:
        answer = await program.post("/api/keys", json={"name": "more", "scopes": ["admin"]})

    assert (answer.json()["code"], answer.json()["details"]) == ("wrong_scope", {"needed": ["admin"]})


async def test_a_key_is_its_owner(ada: User, eve: User, app: FastAPI):
    async with client_of(app, (await made(eve, "read"))["key"]) as program:
        assert (await program.get("/api/auth/me")).json()["data"]["user"] == eve.account["user"]


async def test_a_members_key_is_no_admin_whatever_its_scope(eve: User, app: FastAPI):
    async with client_of(app, (await made(eve, "admin"))["key"]) as program:
        answer = await program.get("/api/admin/users")

    assert (answer.status_code, answer.json()["code"]) == (403, "admin_only")


async def test_a_revoked_key_is_rejected(ada: User, app: FastAPI, pool: Pool):
    key = await made(ada, "read")
    async with client_of(app, key["key"]) as program:
        assert (await program.get("/api/jobs")).status_code == 200
        assert (await ada.delete(f"/api/keys/{key['id']}")).status_code == 200
        assert (await program.get("/api/jobs")).status_code == 401

    assert (await ada.get("/api/keys")).json()["data"]["keys"] == []
    assert (await ada.delete(f"/api/keys/{key['id']}")).status_code == 404
    assert await pool.fetchval("SELECT count(revoked_at) FROM api_keys") == 1


async def test_an_expired_key_is_rejected_and_still_listed(ada: User, app: FastAPI, pool: Pool):
    key = await made(ada, "read", expires_in_days=1)
    async with client_of(app, key["key"]) as program:
        assert (await program.get("/api/jobs")).status_code == 200
        await pool.execute("UPDATE api_keys SET expires_at = now()")
        assert (await program.get("/api/jobs")).status_code == 401

    assert [listed["id"] for listed in (await ada.get("/api/keys")).json()["data"]["keys"]] == [key["id"]]


async def test_anothers_keys_do_not_exist(ada: User, eve: User, app: FastAPI):
    key = await made(ada, "read")

    assert (await eve.get("/api/keys")).json()["data"]["keys"] == []
    assert (await eve.delete(f"/api/keys/{key['id']}")).status_code == 404
    async with client_of(app, key["key"]) as program:
        assert (await program.get("/api/jobs")).status_code == 200


async def test_a_key_has_the_requested_expiry(ada: User):
    moment = utc_now() + timedelta(days=9)
    by_date = await made(ada, "read", expires_at=moment.isoformat())
    by_days = await made(ada, "read", expires_in_days=9)
    never = await made(ada, "read")

    assert by_date["expires_at"] == moment.isoformat().replace("+00:00", "Z")
    assert abs(utc_now().fromisoformat(by_days["expires_at"]) - moment) < timedelta(minutes=1)
    assert never["expires_at"] is None


async def test_a_key_does_not_outlive_the_key_that_made_it(ada: User, app: FastAPI):
    maker = await made(ada, "admin", expires_in_days=7)
    async with client_of(app, maker["key"]) as program:
        assert (await made(program, "admin"))["expires_at"] == maker["expires_at"]
        assert (await made(program, "read", expires_in_days=8))["expires_at"] == maker["expires_at"]
        assert (await made(program, "read", expires_in_days=6))["expires_at"] < maker["expires_at"]


WRONG: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"name", "scopes"}),
    ({"name": " ", "scopes": [], "expires_in_days": 0}, {"name", "scopes", "expires_in_days"}),
    ({"name": "x" * 101, "scopes": ["write"], "key": "br_mine"}, {"name", "scopes.0", "key"}),
    ({"expires_at": "2020-01-01T00:00:00Z"}, {"expires_at"}),
    ({"expires_at": "2030-01-01T00:00:00"}, {"expires_at"}),
    ({"expires_at": "2030-01-01T00:00:00Z", "expires_in_days": 3}, {"expires_in_days"}),
    ({"expires_at": "9999-12-31T23:59:59-14:00"}, {"expires_at"}),
    ({"expires_in_days": 10**12}, {"expires_in_days"}),
    ({"scopes": ["read"] * 4}, {"scopes"}),
    ({"name": "a\x00b"}, {"name"}),
]


@pytest.mark.parametrize(("body", "named"), WRONG)
async def test_everything_wrong_with_a_key_is_named_at_once(
    ada: User, pool: Pool, body: dict[str, Any], named: set[str]
):
    given = body if body == {} else {"name": "laptop", "scopes": ["read"]} | body
    answer = await ada.post("/api/keys", json=given)

    assert answer.status_code == 400
    assert answer.json()["details"].keys() == named
    assert await pool.fetchval("SELECT count(*) FROM api_keys") == 0


async def test_an_account_has_so_many_keys_and_no_more(ada: User, app: FastAPI):
    limit(app, keys=3)
    body = {"name": "laptop", "scopes": ["read"]}
    answers = await asyncio.gather(*(ada.post("/api/keys", json=body) for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [201, 201, 201, 409, 409]
    assert {answer.json()["code"] for answer in answers if answer.is_error} == {"too_many_keys"}
    key_id = next(answer.json()["data"]["id"] for answer in answers if answer.is_success)
    assert (await ada.delete(f"/api/keys/{key_id}")).status_code == 200
    await made(ada, "read")


async def test_the_last_use_is_noted_once_a_minute(ada: User, app: FastAPI, pool: Pool):
    key = await made(ada, "read")

    async def last_use() -> str | None:
        return (await ada.get("/api/keys")).json()["data"]["keys"][0]["last_used_at"]

    assert await last_use() is None
    async with client_of(app, key["key"]) as program:
        await program.get("/api/presets")
        first = await last_use()
        await program.get("/api/presets")
        assert first is not None
        assert await last_use() == first
        await pool.execute("UPDATE api_keys SET last_used_at = last_used_at - interval '2 minutes'")
        await program.get("/api/presets")
        assert await last_use() > first


async def test_a_token_costs_one_query(ada: User, app: FastAPI, pool: Pool):
    key = await made(ada, "read")
    counting = Counting(pool)
    app.state.pool = counting
    async with client_of(app, key["key"]) as program:
        await program.get("/api/presets")
        await program.get("/api/presets")
        assert counting.ran == ["SELECT", "UPDATE", "SELECT"]

    counting.ran.clear()
    await ada.get("/api/presets")
    assert counting.ran == ["SELECT"]


async def test_a_token_with_an_unknown_prefix_costs_no_query(app: FastAPI, pool: Pool):
    counting = Counting(pool)
    app.state.pool = counting
    async with client_of(app, "sk-something-else") as stranger:
        assert (await stranger.get("/api/jobs")).status_code == 401

    assert counting.ran == []


async def test_an_invalid_key_is_rejected(ada: User):
    assert (await ada.delete(f"/api/keys/{new_id()}")).status_code == 404
    assert (await ada.delete("/api/keys/none")).status_code == 400
