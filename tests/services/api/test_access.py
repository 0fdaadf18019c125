"""Every route asks who is there."""

import re

import httpx
import pytest
from fastapi import FastAPI

from brightrun.api.routes import accounts, costs, datasets, jobs, models, notifications, options
from brightrun.api.routes.bounded import BoundedRoute
from brightrun.contracts.values import new_id

ROUTERS = [datasets.uploads, *(m.router for m in (accounts, costs, datasets, jobs, models, notifications, options))]
OPEN = {("POST", "/api/auth/register"), ("POST", "/api/auth/login")}


def operations(app: FastAPI) -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}


async def test_every_route_but_sign_up_and_sign_in_needs_a_token(app: FastAPI, anonymous: httpx.AsyncClient):
    open_to_all = set()
    for method, path in operations(app):
        answer = await anonymous.request(method, re.sub(r"\{\w+\}", str(new_id()), path))
        if answer.status_code != 401:
            open_to_all.add((method, path))

    assert open_to_all == OPEN


def test_no_route_hides_from_the_documents(app: FastAPI):
    declared = {
        (method, f"/api{route.path}") for router in ROUTERS for route in router.routes for method in route.methods
    }

    assert declared == operations(app)


def test_every_body_but_an_uploads_is_bounded():
    unbounded = [route for router in ROUTERS for route in router.routes if not isinstance(route, BoundedRoute)]

    assert unbounded == datasets.uploads.routes


def test_every_operation_is_documented_with_its_refusals(app: FastAPI):
    for methods in app.openapi()["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["tags"]
            assert "4XX" in operation["responses"]
            assert "422" not in operation["responses"]


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/health"])
async def test_documents_and_health_are_open(anonymous: httpx.AsyncClient, path: str):
    assert (await anonymous.get(path)).status_code == 200
