"""Dependencies of routes: settings, peer services, the caller's network, rate limits, pages."""

from typing import Annotated, cast

from fastapi import Depends, Header, Query, Request

from brightrun.api.http.clients import ServiceClients
from brightrun.api.http.rate_limits import RateLimits, network_of
from brightrun.api.settings import Settings


async def _settings(request: Request) -> Settings:
    return cast("Settings", request.app.state.settings)


async def _clients(request: Request) -> ServiceClients:
    return cast("ServiceClients", request.app.state.clients)


async def _rates(request: Request) -> RateLimits:
    return cast("RateLimits", request.app.state.rates)


AppSettings = Annotated[Settings, Depends(_settings)]
Clients = Annotated[ServiceClients, Depends(_clients)]
CallerLimits = Annotated[RateLimits, Depends(_rates)]


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
Page = Annotated[int, Query(ge=1, le=1_000_000)]
Limit = Annotated[int, Query(ge=1, le=100)]
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
