"""The OpenAI face: an application of its own below /v1, which the unmodified `openai` package drives."""

from typing import Any

from fastapi import FastAPI

from brightrun.api.routes.openai import files, jobs, models, refusals, uploads, webhooks
from brightrun.api.routes.refusals import describe

ABOUT: dict[str, Any] = {
    "title": "BrightRun, the OpenAI-compatible face",
    "version": "1.0.0",
    "description": "Set the `openai` client's `base_url` to this address and its `api_key` to one of yours (`br_…`).",
    "docs_url": None,
    "redoc_url": None,
    "generate_unique_id_function": lambda route: route.name,
}


def mount(app: FastAPI) -> None:
    """Serve the face below /v1; it shares the application's state."""
    face = FastAPI(**ABOUT)
    face.state = app.state
    refusals.install(face)
    for module in (files, uploads, jobs, models, webhooks):
        face.include_router(module.router)
    face.include_router(uploads.parts)
    describe(face, refusals.tell)
    app.mount("/v1", face)
