"""The public HTTP API."""

from typing import Any

from fastapi import FastAPI

from brightrun.api.neighbours import Neighbours
from brightrun.api.routes import accounts, costs, datasets, jobs, models, notifications, options
from brightrun.api.schemas.body import Refusal
from brightrun.api.settings import Settings

ABOUT: dict[str, Any] = {
    "version": "1.0.0",
    "description": "Fine-tune LoRA adapters on your own GPUs. Sign in, then send `Authorization: Bearer <token>`.",
}
REFUSALS: dict[int | str, dict[str, Any]] = {"4XX": {"model": Refusal, "description": "Refused, and why"}}


def mount(app: FastAPI, settings: Settings, neighbours: Neighbours) -> None:
    """Give the app the API's routes and what they need."""
    app.state.settings = settings
    app.state.neighbours = neighbours
    app.include_router(datasets.uploads, prefix="/api", responses=REFUSALS)
    for module in (accounts, datasets, options, jobs, models, costs, notifications):
        app.include_router(module.router, prefix="/api", responses=REFUSALS)
