"""The OpenAI face: an application of its own below /v1, which the unmodified `openai` package drives."""

import re
from typing import Any

from fastapi import FastAPI
from starlette.routing import Mount

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
    mounted = Mount("/v1", face)
    mounted.path_regex = re.compile(mounted.path_regex.pattern, re.DOTALL)  # a line break in a path is ours as well
    app.router.routes.append(mounted)
