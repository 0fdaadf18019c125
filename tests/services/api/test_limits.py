"""How often callers may call, and how often they may guess a password."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from brightrun.api.accounts import actions
from brightrun.api.loops import prune_sessions
from brightrun.api.settings import Settings
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Pool
from tests.services.api.conftest import PASSWORD, User, client_of, gateway, limit

Client = Callable[..., httpx.AsyncClient]
WRONG = "not the password"
HOME, CAFE, ATTACKER = "198.51.100.7", "203.0.113.9", "192.0.2.66"


class Clock:
    """Stands still, so that a slow machine does not wait without meaning to."""

    def __init__(self) -> None:
        self.now = utc_now()

    def read(self) -> datetime:
        return self.now

    def pass_wait(self) -> None:
        """As if all waits were over."""
        self.now += timedelta(seconds=61)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(actions, "utc_now", clock.read)
    return clock


@pytest_asyncio.fixture
async def limited(pool: Pool, settings: Settings) -> AsyncIterator[Client]:
    """Gives clients of a gateway with settings of its own, over the same database."""
    async with AsyncExitStack() as stack:

        async def open_gateway(**limits: object) -> Client:
            app = await stack.enter_async_context(gateway(pool, settings.model_copy(update=limits)))
            return lambda *args: client_of(app, *args)

        yield open_gateway


def codes(answers: list[httpx.Response]) -> list[int]:
    return [answer.status_code for answer in answers]


async def test_a_session_reads_and_changes_so_often_a_minute(ada: User, eve: User, limited):
    client = await limited(rate_limit_reads=3, rate_limit_changes=2)
    async with client(ada.account["token"]) as user, client(eve.account["token"]) as other:
        reads = [await user.get("/api/jobs") for _ in range(4)]
        changes = [await user.patch("/api/auth/me", json={"name": "Ada"}) for _ in range(3)]
        others = await other.get("/api/jobs")

    assert codes(reads) == [200, 200, 200, 429]
    assert codes(changes) == [200, 200, 429]
    assert others.status_code == 200
    assert reads[3].json()["code"] == "rate_limited"
    assert 0 < int(reads[3].headers["retry-after"]) <= 20
    assert reads[3].json()["details"] == {"retry_after": int(reads[3].headers["retry-after"])}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/auth/sessions", None),
        ("POST", "/api/keys", {"name": "laptop", "scopes": ["read"]}),
        ("POST", "/api/auth/password", {"old_password": PASSWORD, "new_password": PASSWORD}),
        ("DELETE", "/api/auth/sessions", None),
        ("POST", "/api/auth/logout", None),
        ("GET", "/api/admin/users", None),
    ],
)
async def test_a_request_counts_once(ada: User, limited, method: str, path: str, body: object):
    client = await limited(rate_limit_reads=1, rate_limit_changes=1)
    async with client(ada.account["token"]) as user:
        assert (await user.request(method, path, json=body)).is_success


async def test_each_key_has_a_limit_of_its_own(ada: User, limited):
    client = await limited(rate_limit_reads=1)
    made = [await ada.post("/api/keys", json={"name": "laptop", "scopes": ["read"]}) for _ in range(2)]
    for key in made:
        async with client(key.json()["data"]["key"]) as program:
            assert codes([await program.get("/api/jobs") for _ in range(2)]) == [200, 429]


async def test_both_dialects_count_together_and_each_refuses_in_its_own_shape(ada: User, limited):
    client = await limited(rate_limit_reads=1)
    async with client(ada.account["token"]) as user:
        assert (await user.get("/v1/models")).status_code == 200
        answers = [await user.get(path) for path in ("/api/jobs", "/v1/models")]

    assert codes(answers) == [429, 429]
    assert all(0 < int(answer.headers["retry-after"]) <= 60 for answer in answers)
    assert answers[0].json()["code"] == "rate_limited"
    assert answers[1].json()["error"]["code"] == "rate_limit_exceeded"


async def test_calls_without_a_token_are_counted_by_address(limited):
    client = await limited(rate_limit_anonymous=2)
    async with client("", HOME) as first, client("", CAFE) as second:
        assert codes([await first.get("/api/auth/methods") for _ in range(3)]) == [200, 200, 429]
        assert (await first.post("/api/auth/login", json={})).status_code == 429
        assert (await second.get("/api/auth/methods")).status_code == 200


async def test_guessed_tokens_are_counted_by_address(limited):
    client = await limited(rate_limit_anonymous=2)
    answers = []
    for guess in ("brs_guess", "br_guess", "eyJ.guess.ed"):
        async with client(guess, HOME) as guesser:
            answers.append(await guesser.get("/api/jobs"))

    assert codes(answers) == [401, 401, 429]


async def test_an_address_of_ipv6_is_its_network(limited):
    client = await limited(rate_limit_anonymous=1)
    answers = []
    for address in ("2001:db8::1", "2001:db8::2:1", "2001:db8:0:1::1"):
        async with client("", address) as visitor:
            answers.append(await visitor.get("/api/auth/methods"))

    assert codes(answers) == [200, 429, 200]


async def test_zero_is_no_limit_and_probes_have_none(ada: User, limited):
    unlimited = await limited(rate_limit_reads=0, rate_limit_changes=0, rate_limit_anonymous=0)
    strict = await limited(rate_limit_reads=1, rate_limit_anonymous=1)
    async with unlimited(ada.account["token"]) as user, strict() as probe:
        assert set(codes([await user.get("/api/presets") for _ in range(40)])) == {200}
        assert set(codes([await probe.get("/health") for _ in range(6)])) == {200}


@pytest.mark.parametrize(
    ("proxies", "peer", "expected"),
    [
        ("", HOME, [200, 429]),  # nobody is believed
        (CAFE, HOME, [200, 429]),  # somebody else is
        (HOME, HOME, [200, 200]),
        ("198.51.100.0/24, 10.0.0.1", HOME, [200, 200]),
    ],
)
async def test_only_trusted_proxies_tell_the_callers_address(limited, proxies: str, peer: str, expected: list[int]):
    client = await limited(rate_limit_anonymous=1, trusted_proxies=proxies)
    async with client("", peer) as proxy:
        answers = [
            await proxy.get("/api/auth/methods", headers={"x-forwarded-for": address})
            for address in ("192.0.2.1", "192.0.2.2")
        ]

    assert codes(answers) == expected


async def test_what_a_caller_adds_before_the_proxys_word_counts_nothing(limited):
    client = await limited(rate_limit_anonymous=1, trusted_proxies=HOME)
    async with client("", HOME) as proxy:
        answers = [
            await proxy.get("/api/auth/methods", headers={"x-forwarded-for": f"{made_up}, 192.0.2.1"})
            for made_up in ("192.0.2.8", "192.0.2.9")
        ]

    assert codes(answers) == [200, 429]


async def attempt(app: FastAPI, email: str, password: str = WRONG, address: str = HOME) -> httpx.Response:
    async with client_of(app, address=address) as visitor:
        return await visitor.post("/api/auth/login", json={"email": email, "password": password})


async def test_after_five_wrong_passwords_the_correct_one_is_throttled_too(ada: User, app: FastAPI, clock: Clock):
    email = ada.account["user"]["email"]
    wrong = [await attempt(app, email) for _ in range(6)]
    right = await attempt(app, email, PASSWORD)

    assert codes([*wrong, right]) == [401, 401, 401, 401, 401, 429, 429]
    assert (right.json()["code"], right.headers["retry-after"]) == ("too_many_tries", "1")
    clock.pass_wait()
    assert (await attempt(app, email, PASSWORD)).status_code == 200


async def test_the_wait_grows_and_has_an_end(ada: User, app: FastAPI, clock: Clock):
    email = ada.account["user"]["email"]
    for _ in range(4):
        await attempt(app, email)
    waits = []
    for _ in range(8):
        assert (await attempt(app, email)).status_code == 401
        waits.append(int((await attempt(app, email)).headers["retry-after"]))
        clock.pass_wait()

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_an_unknown_account_is_answered_like_any_other(ada: User, app: FastAPI):
    known = [await attempt(app, ada.account["user"]["email"]) for _ in range(7)]
    unknown = [await attempt(app, "nobody@example.com") for _ in range(7)]

    assert codes(known) == codes(unknown)
    assert [answer.json() for answer in known] == [answer.json() for answer in unknown]


async def test_signing_in_lets_the_account_begin_anew(ada: User, app: FastAPI):
    email = ada.account["user"]["email"]
    for _ in range(3):
        assert codes([await attempt(app, email) for _ in range(4)]) == [401] * 4
        assert (await attempt(app, email, PASSWORD)).status_code == 200


async def test_concurrent_attempts_are_throttled_like_sequential_ones(ada: User, app: FastAPI):
    answers = await asyncio.gather(*(attempt(app, ada.account["user"]["email"]) for _ in range(20)))

    assert sorted(codes(answers)) == [401] * 5 + [429] * 15


async def test_an_attacker_elsewhere_does_not_lock_the_owner_out(ada: User, app: FastAPI):
    email = ada.account["user"]["email"]
    assert (await attempt(app, email, PASSWORD, HOME)).status_code == 200
    attacks = [await attempt(app, email, address=ATTACKER) for _ in range(6)]

    assert attacks[-1].status_code == 429
    assert (await attempt(app, email, PASSWORD, HOME)).status_code == 200
    assert (
        await attempt(app, email, PASSWORD, CAFE)
    ).status_code == 429  # where she never was she waits, a minute at most


async def test_the_network_of_a_sign_up_is_known_to_its_account(ada: User, app: FastAPI):
    assert (await register(app, "new@example.org", HOME)).status_code == 201
    attacks = [await attempt(app, "new@example.org", address=ATTACKER) for _ in range(6)]

    assert attacks[-1].status_code == 429
    assert (await attempt(app, "new@example.org", PASSWORD, HOME)).status_code == 200


async def test_attempts_at_an_account_are_counted_over_all_networks(ada: User, app: FastAPI):
    answers = [await attempt(app, ada.account["user"]["email"], address=f"192.0.2.{n}") for n in range(7)]

    assert codes(answers) == [401] * 5 + [429] * 2


async def test_attempts_of_a_network_are_counted_over_all_accounts(ada: User, app: FastAPI):
    limit(app, network_attempts=3)
    answers = [await attempt(app, f"user{n}@example.org", address=ATTACKER) for n in range(5)]

    assert codes(answers) == [401, 401, 401, 429, 429]
    assert (await attempt(app, ada.account["user"]["email"], PASSWORD, HOME)).status_code == 200


async def test_a_successful_sign_in_does_not_reset_its_network(ada: User, app: FastAPI):
    limit(app, network_attempts=4)
    answers = [await attempt(app, f"user{n}@example.org", address=ATTACKER) for n in range(3)]
    answers.append(await attempt(app, ada.account["user"]["email"], PASSWORD, ATTACKER))
    answers += [await attempt(app, f"other{n}@example.org", address=ATTACKER) for n in range(2)]

    assert codes(answers) == [401, 401, 401, 200, 429, 429]


async def test_attempts_are_shared_by_all_gateways(ada: User, app: FastAPI, pool: Pool, settings: Settings):
    email = ada.account["user"]["email"]
    for _ in range(5):
        await attempt(app, email)
    async with gateway(pool, settings) as another:
        assert (await attempt(another, email, PASSWORD)).status_code == 429


async def register(app: FastAPI, email: str, address: str = HOME) -> httpx.Response:
    async with client_of(app, address=address) as client:
        return await client.post("/api/auth/register", json={"email": email, "password": PASSWORD})


async def test_sign_ups_of_a_known_address_are_throttled_and_its_owner_is_not(ada: User, app: FastAPI):
    email = ada.account["user"]["email"]
    answers = [await register(app, email, f"192.0.2.{number}") for number in range(7)]

    assert codes(answers) == [409] * 5 + [429] * 2
    assert answers[-1].headers["retry-after"]
    assert (await attempt(app, email, PASSWORD, HOME)).status_code == 200


async def test_a_network_lists_few_accounts_by_sign_ups_and_may_open_many(ada: User, eve: User, app: FastAPI):
    limit(app, network_attempts=3)
    opened = [await register(app, f"new{number}@example.org", ATTACKER) for number in range(6)]
    assert codes(opened) == [201] * 6

    known = [user.account["user"]["email"] for user in (ada, eve)]
    listed = [await register(app, email, ATTACKER) for email in known * 2]
    assert codes(listed) == [409, 409, 409, 429]
    assert (await register(app, "another@example.org", ATTACKER)).status_code == 429
    assert (await register(app, "another@example.org", HOME)).status_code == 201


async def test_wrong_old_passwords_are_counted(ada: User):
    change = {"old_password": "wrong", "new_password": "battery staple horse"}
    answers = [await ada.post("/api/auth/password", json=change) for _ in range(6)]

    assert codes(answers) == [401] * 5 + [429]


async def test_old_attempts_are_deleted(ada: User, app: FastAPI, pool: Pool, clock: Clock):
    email = ada.account["user"]["email"]
    await attempt(app, email, PASSWORD, HOME)
    for _ in range(5):
        await attempt(app, email, address=CAFE)
    await prune_sessions(pool)
    assert await pool.fetchval("SELECT max(attempts) FROM login_attempts") == 5

    await pool.execute("UPDATE login_attempts SET last_at = now() - interval '2 hours'")
    assert (await attempt(app, email, address=CAFE)).status_code == 429  # it waits all the same
    clock.pass_wait()
    assert codes([await attempt(app, email, address=CAFE) for _ in range(4)]) == [401] * 4

    await pool.execute("UPDATE login_attempts SET last_at = now() - interval '2 hours'")
    await prune_sessions(pool)
    assert (
        await pool.fetchval("SELECT count(*) FROM login_attempts") == 2
    )  # where Ada has been: at home, and at sign-up
    await pool.execute("UPDATE login_attempts SET signed_in_at = now() - interval '91 days'")
    await prune_sessions(pool)
    assert await pool.fetchval("SELECT count(*) FROM login_attempts") == 0
