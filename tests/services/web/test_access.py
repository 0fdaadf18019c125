"""Who gets in, and what other sites and dead services cannot do."""

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from brightrun.web.main import create_pages
from tests.services.web.conftest import ORIGIN, SETTINGS, browse
from tests.services.web.fake_api import HOSTILE, ID, PASSWORD, FakeApi

ACCOUNT = {"email": "ada@example.com", "password": PASSWORD}


@pytest.mark.parametrize("way", ["in", "up"])
async def test_signing_in_or_up_sets_a_cookie_that_scripts_cannot_read(anonymous: httpx.AsyncClient, way: str) -> None:
    answer = await anonymous.post(f"/sign-{way}", data=ACCOUNT)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie
    assert (await anonymous.get("/")).status_code == 200


async def test_the_cookie_is_secure_where_browsers_come_over_https(api: FakeApi) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://api.test") as http:
        pages = create_pages(SETTINGS.model_copy(update={"web_https": True}), http)
        async with browse(pages) as browser:
            answer = await browser.post("/sign-in", data=ACCOUNT, headers={"origin": "https://web.test"})
    assert "; secure" in answer.headers["set-cookie"].lower()


async def test_an_origin_is_scheme_host_and_port(api: FakeApi) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://api.test") as http:
        pages = create_pages(SETTINGS.model_copy(update={"web_https": True}), http)
        async with browse(pages) as browser:
            host = httpx.URL(ORIGIN).host
            origins = {
                f"https://{host}": 303,
                f"https://{host}:443": 303,
                f"http://{host}": 403,
                f"https://{host}:80": 403,
            }
            for origin, status in origins.items():
                answer = await browser.post("/sign-in", data=ACCOUNT, headers={"origin": origin})
                assert answer.status_code == status, origin


async def test_metrics_need_the_token_of_the_settings(api: FakeApi) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://api.test") as http:
        for configured, sent, status in (("", "", 303), ("secret", "", 303), ("secret", "secret", 200)):
            settings = SETTINGS.model_copy(update={"metrics_token": SecretStr(configured)})
            async with browse(create_pages(settings, http)) as browser:
                answer = await browser.get("/metrics", headers={"authorization": f"Bearer {sent}"})
                assert answer.status_code == status


@pytest.mark.parametrize("path", ["/", "/datasets", "/jobs/new", f"/training/jobs/{ID}", "/models", "/notifications"])
async def test_who_is_not_signed_in_is_sent_to_do_so(anonymous: httpx.AsyncClient, path: str) -> None:
    answer = await anonymous.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


async def test_a_forged_cookie_is_rejected(ada: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    payload, _, signature = ada.cookies["brightrun"].partition(".")
    anonymous.cookies.set("brightrun", f"{payload[:-4]}AAAA.{signature}")
    assert (await anonymous.get("/")).headers["location"] == "/sign-in"


async def test_a_token_that_the_api_no_longer_knows_is_dropped(
    ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.services.web.fake_api.TOKEN", "another")
    assert (await ada.get("/")).headers["location"] == "/sign-in"
    assert "brightrun" not in ada.cookies


async def test_a_wrong_password_shows_an_error_and_keeps_the_address(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/sign-in", data={"email": f'"{HOSTILE}', "password": "wrong"})
    assert answer.status_code == 401
    assert "The e-mail address or the password is wrong." in answer.text
    assert "&#34;&lt;script&gt;" in answer.text
    assert "brightrun" not in anonymous.cookies


@pytest.mark.parametrize(
    ("before", "forwarded"), [({}, "127.0.0.1"), ({"x-forwarded-for": "192.0.2.1"}, "192.0.2.1, 127.0.0.1")]
)
async def test_the_address_of_the_visitor_is_forwarded(
    anonymous: httpx.AsyncClient, api: FakeApi, before: dict[str, str], forwarded: str
) -> None:
    browser = {"user-agent": "Firefox é".encode("latin-1")}
    await anonymous.post("/sign-in", data=ACCOUNT, headers={**before, **browser})

    assert api.headers["x-forwarded-for"] == forwarded
    assert api.headers["user-agent"] == "Firefox "


async def test_each_wrong_field_of_a_sign_up_is_named(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/sign-up", data={"email": "ada@example.com", "password": "short"})
    assert answer.status_code == 400
    assert "password: String should have at least 10 characters" in answer.text


async def test_signing_out_revokes_the_token_and_forgets_it(ada: httpx.AsyncClient, api: FakeApi) -> None:
    assert (await ada.post("/sign-out")).headers["location"] == "/sign-in"
    assert ("POST", "/api/auth/logout", None) in api.calls
    assert "brightrun" not in ada.cookies


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.test",
        "null",
        "http://web.test.evil.test",
        "",
        "https://web.test",
        "http://web.test:81",
        "ftp://web.test",
        "http://web.test:x",
    ],
)
async def test_a_change_from_another_site_is_refused(ada: httpx.AsyncClient, api: FakeApi, origin: str) -> None:
    answer = await ada.post(f"/training/jobs/{ID}/cancel", headers={"origin": origin})
    assert answer.status_code == 403
    assert api.calls == []


async def test_a_change_at_an_unreadable_host_is_refused(ada: httpx.AsyncClient, api: FakeApi) -> None:
    answer = await ada.post(f"/training/jobs/{ID}/cancel", headers={"host": "web.test:x", "origin": "null"})
    assert answer.status_code == 403
    assert api.calls == []


async def test_every_answer_tells_browsers_to_be_strict(ada: httpx.AsyncClient) -> None:
    for path in ("/", "/static/app.js", "/nothing", "/datasets/live"):
        headers = (await ada.get(path)).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe-inline" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


async def test_an_unavailable_api_shows_an_error_page(app: FastAPI, ada: httpx.AsyncClient) -> None:
    async with httpx.AsyncClient(base_url="http://127.0.0.1:1") as nowhere:
        app.state.http = nowhere
        for path in ("/", "/jobs/new"):
            answer = await ada.get(path)
            assert answer.status_code == 503
            assert "does not answer; try again in a moment" in answer.text
        assert (await ada.post("/sign-in", data=ACCOUNT)).status_code == 503
        assert (await ada.get("/ready")).status_code == 503
        assert (await ada.get("/health")).status_code == 200


async def test_an_unavailable_peer_service_affects_only_its_part_of_the_dashboard(
    ada: httpx.AsyncClient, api: FakeApi
) -> None:
    api.unavailable = {"/api/models", "/api/notifications"}
    answer = await ada.get("/")
    assert answer.status_code == 200
    assert "Models cannot be shown just now." in answer.text


async def test_it_is_ready_when_the_api_answers(anonymous: httpx.AsyncClient) -> None:
    assert (await anonymous.get("/ready")).status_code == 200


async def test_a_form_is_of_bounded_size(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/sign-in", data={"email": "a" * 100_000, "password": "x"})
    assert answer.status_code == 413
