"""Dependencies of routes: settings, peer services, the caller's network, rate limits, pages."""

import re
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request
from pydantic import BeforeValidator, WithJsonSchema

from brightrun.api.http.clients import ServiceClients
from brightrun.api.http.rate_limits import RateLimits, network_of
from brightrun.api.settings import Limits, Settings


def from_state(name: str) -> Any:
    """A dependency: what `mount` has put into the application's state."""

    async def read(request: Request) -> Any:
        return getattr(request.app.state, name)

    return Depends(read)


AppSettings = Annotated[Settings, from_state("settings")]
AppLimits = Annotated[Limits, from_state("limits")]
Clients = Annotated[ServiceClients, from_state("clients")]
CallerLimits = Annotated[RateLimits, from_state("rates")]


async def caller_network(request: Request) -> str:
    """The network that the request comes from."""
    return network_of(request.client.host if request.client else "")


Network = Annotated[str, Depends(caller_network)]
"""The caller's network."""


async def _anonymous(network: Network, rates: CallerLimits) -> str:
    rates.anonymous.spend(network)
    return network


Anonymous = Annotated[str, Depends(_anonymous)]
"""The network of a caller without a token, rate limited; every open route depends on it."""


def _require_digits(text: str) -> str:
    if not DIGITS.fullmatch(text):
        raise ValueError("Input should be a whole number")
    return text


DIGITS = re.compile("-?[0-9]{1,19}")
WHOLE_NUMBER = BeforeValidator(_require_digits)
"""Of a number in a query or header, where it is a text: digits only, neither `4.0` nor `1_0`."""
Page = Annotated[int, Query(ge=1, le=1_000_000), WHOLE_NUMBER]
Limit = Annotated[int, Query(ge=1, le=100), WHOLE_NUMBER]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Your choice, unique for each job: repeated within 24 hours, it returns the same job.",
    ),
]


def first_moment(text: str) -> datetime:
    """The moment of a text; of a date, its beginning. Raises ValueError."""
    return _moment(text, time.min)


def last_moment(text: str) -> datetime:
    """The moment of a text; of a date, its end. Raises ValueError."""
    return _moment(text, time.max)


def _moment(text: str, time_of_day: time) -> datetime:
    """An ISO 8601 date or time; without an offset it is in UTC."""
    try:
        return datetime.combine(date.fromisoformat(text), time_of_day, UTC)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is neither a date (2026-11-24) nor a time (2026-11-24T12:00:00Z)") from None


MOMENT = WithJsonSchema({"type": "string", "maxLength": 40, "examples": ["2026-11-24", "2026-11-24T12:00:00Z"]})
From = Annotated[datetime, BeforeValidator(first_moment), MOMENT]
To = Annotated[datetime, BeforeValidator(last_moment), MOMENT]
