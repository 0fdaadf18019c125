"""The pages by their addresses."""

from fastapi import FastAPI, Response

from brightrun.runtime.http import Envelope
from brightrun.web.api import Visitor
from brightrun.web.routes import accounts, dashboard, datasets, jobs, models, notifications


def mount(app: FastAPI) -> None:
    """Give the app its pages."""
    app.add_api_route("/ready", _ready)
    for module in (accounts, dashboard, datasets, jobs, models, notifications):
        app.include_router(module.router)


async def _ready(response: Response, api: Visitor) -> Envelope[bool]:
    """503 until the API answers."""
    alive = await api.find("/health") is not None
    response.status_code = 200 if alive else 503
    return Envelope(success=alive, data=alive)
