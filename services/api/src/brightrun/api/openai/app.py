"""The application of the OpenAI dialect, mounted below /v1."""

import re
from typing import Any

from fastapi import FastAPI
from starlette.routing import Mount

from brightrun.api.http.errors import describe_errors
from brightrun.api.openai import errors
from brightrun.api.openai.routes import files, fine_tuning, models, uploads, webhooks

ABOUT: dict[str, Any] = {
    "title": "BrightRun, the OpenAI-compatible dialect",
    "version": "1.0.0",
    "description": "Set the `openai` client's `base_url` to this address and its `api_key` to one of yours (`br_…`).",
    "docs_url": None,
    "redoc_url": None,
    "generate_unique_id_function": lambda route: route.name,
}


def mount(app: FastAPI) -> None:
    """Serve the dialect below /v1; it shares the application's state."""
    dialect = FastAPI(**ABOUT)
    dialect.state = app.state
    errors.install(dialect)
    for module in (files, uploads, fine_tuning, models, webhooks):
        dialect.include_router(module.router)
    dialect.include_router(uploads.parts)
    describe_errors(dialect, errors.error_answer)
    mounted = Mount("/v1", dialect)
    mounted.path_regex = re.compile(mounted.path_regex.pattern, re.DOTALL)  # a line break in a path is ours as well
    app.router.routes.append(mounted)
