"""Pages and parts of pages, and how figures read in them."""

from datetime import UTC, datetime
from decimal import Decimal
from math import ceil
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.templating import Jinja2Templates

from brightrun.runtime.errors import ServiceError
from brightrun.web.api import Api

MISSING = "–"


def render(request: Request, template: str, status: int = 200, **context: Any) -> Response:
    """A page."""
    return _templates.TemplateResponse(request, template, context, status_code=status)


async def show(request: Request, api: Api, template: str, status: int = 200, **context: Any) -> Response:
    """A page for a signed-in visitor, with the number of unread notifications in its header."""
    notifications = await api.find("/api/notifications", unread=True, limit=1)
    return render(request, template, status, unread=notifications["unread_count"] if notifications else 0, **context)


def part(template: str, *, over: bool, more: dict[str, Any] | None = None, **context: Any) -> Response:
    """A region of a page anew, for the script that keeps it fresh until it is `over`."""
    html = _templates.get_template(template).render(context)
    return JSONResponse({"html": html, "over": over, **(more or {})})


def go(path: str) -> Response:
    """On to another page, after a change."""
    return RedirectResponse(path, status_code=303)


def sentences(error: ServiceError) -> list[str]:
    """What is wrong, in words: the sentence first, then every field's problems."""
    problems = error.details if isinstance(error.details, dict) else {}
    fields = [(field, texts) for field, texts in problems.items() if isinstance(texts, list)]
    return [error.message, *(f"{field}: {text}" for field, texts in fields for text in texts)]


def figure(value: float | None, spec: str) -> str:
    """A number by a format specification, or a dash."""
    return MISSING if value is None else format(value, spec)


def money(amount: float | str | None) -> str:
    """US dollars: to the cent, and small amounts that are no whole cents to four places."""
    if amount is None:
        return MISSING
    dollars = Decimal(str(amount))
    return f"${dollars:,.4f}" if dollars < Decimal("0.1") and dollars * 100 % 1 else f"${dollars:,.2f}"


def duration(seconds: float | None) -> str:
    """The two largest units of a time span."""
    if seconds is None:
        return MISSING
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def until(iso: str) -> str:
    """How long it is until a time, in whole minutes."""
    minutes = max(1, ceil((datetime.fromisoformat(iso) - datetime.now(UTC)).total_seconds() / 60))
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def moment(iso: str) -> str:
    """A time in UTC."""
    return f"{datetime.fromisoformat(iso).astimezone(UTC):%-d %b %Y, %H:%M} UTC"


_templates = Jinja2Templates(
    env=Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
)
_templates.env.filters |= {"figure": figure, "money": money, "duration": duration, "moment": moment, "until": until}
