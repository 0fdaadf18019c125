"""Documents of the API and of events: as JSON, and as pages that work offline."""

from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates

from brightrun.contracts import asyncapi
from brightrun.contracts.events import CATALOGUE

HERE = Path(__file__).parent
SWAGGER = Path(fastapi_offline.__file__).parent / "static"
SCRIPTED = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
"""Swagger UI needs style attributes and icons as data URLs."""
PLAIN = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
}
router = APIRouter(include_in_schema=False)
_templates = Jinja2Templates(HERE / "templates")


def mount(app: FastAPI) -> None:
    """Serve the documents, their pages and static files."""
    app.include_router(router)
    app.mount("/docs/swagger", StaticFiles(directory=SWAGGER))
    app.mount("/docs/static", StaticFiles(directory=HERE / "static"))


@router.get("/docs")
async def show_reference(request: Request) -> Response:
    """The operations of the API, in Swagger UI."""
    return _reference(request, "/openapi.json")


@router.get("/docs/v1")
async def show_openai_reference(request: Request) -> Response:
    """The operations of the OpenAI dialect."""
    return _reference(request, "/v1/openapi.json")


@router.get("/docs/events")
async def show_events(request: Request) -> Response:
    """The events between services."""
    events = asyncapi.document(CATALOGUE)
    return _templates.TemplateResponse(request, "events.html", events | {"topics": CATALOGUE}, headers=PLAIN)


@router.get("/asyncapi.json")
async def get_asyncapi() -> dict[str, Any]:
    """The events as an AsyncAPI 3 document."""
    return asyncapi.document(CATALOGUE)


def _reference(request: Request, document: str) -> Response:
    return _templates.TemplateResponse(request, "reference.html", {"document": document}, headers=SCRIPTED)
