"""The documents and their pages: complete, and shown without a network."""

import re

import httpx
import pytest

from brightrun.contracts.asyncapi import document
from brightrun.contracts.events import CATALOGUE

PAGES = ["/docs", "/docs/v1", "/docs/events"]


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_is_made_of_nothing_from_elsewhere(anonymous: httpx.AsyncClient, page: str) -> None:
    answer = await anonymous.get(page)
    parts = set(re.findall(r'(?:src|href|data-document)="([^"#]+)"', answer.text)) - {"data:,"}

    assert answer.headers["content-type"].startswith("text/html")
    assert len(parts) >= 4
    for part in parts:
        assert part.startswith("/"), part
        assert (await anonymous.get(part)).status_code == 200, part


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_runs_no_script_but_ours(anonymous: httpx.AsyncClient, page: str) -> None:
    answer = await anonymous.get(page)
    policy = dict(rule.strip().split(" ", 1) for rule in answer.headers["content-security-policy"].split(";"))

    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy.get("script-src", "'self'") == "'self'"
    assert "http" not in answer.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]* src=)", answer.text)
    assert not re.search(r" on\w+=", answer.text)


async def test_the_events_page_shows_every_topic_and_every_field(anonymous: httpx.AsyncClient) -> None:
    page = (await anonymous.get("/docs/events")).text
    for topic in CATALOGUE:
        section = page.split(f'<h2 id="{topic.name}">')[1].split("</section>")[0]
        assert f"Written by {topic.owner}, read by {', '.join(topic.readers)};" in section
        assert set(re.findall(r'<th scope="row"><code>(\w+)</code>', section)) == set(topic.event.model_fields)

    links, places = set(re.findall('href="#([^"]+)"', page)), set(re.findall('id="([^"]+)"', page))
    assert links <= places


async def test_the_asyncapi_document_is_served(anonymous: httpx.AsyncClient) -> None:
    assert (await anonymous.get("/asyncapi.json")).json() == document(CATALOGUE)
