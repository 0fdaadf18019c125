"""The services that the gateway asks at request time."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from brightrun.api.artifacts import Artifacts
from brightrun.api.identity_provider import IdentityProvider
from brightrun.api.settings import Settings
from brightrun.runtime.clients import ServiceClient

N = TypeVar("N", bound=ServiceClient)


@dataclass(frozen=True, slots=True)
class Clients:
    """One client each; where none is set, the identity provider is None."""

    artifacts: Artifacts
    tracker: ServiceClient
    notifier: ServiceClient
    scheduler: ServiceClient
    identity_provider: IdentityProvider | None = None


@asynccontextmanager
async def open_clients(settings: Settings) -> AsyncIterator[Clients]:
    """Clients that are closed when the block ends."""
    secret = settings.service_secret.get_secret_value()
    async with AsyncExitStack() as stack:

        def client(name: str, url: str, kind: type[N]) -> N:
            client = kind(name, url, secret, caller="api")
            stack.push_async_callback(client.close)
            return client

        provider = IdentityProvider(settings) if settings.oidc_issuer else None
        if provider:
            stack.push_async_callback(provider.close)
        yield Clients(
            artifacts=client("artifacts", settings.artifacts_url, Artifacts),
            tracker=client("tracker", settings.tracker_url, ServiceClient),
            notifier=client("notifier", settings.notifier_url, ServiceClient),
            scheduler=client("scheduler", settings.scheduler_url, ServiceClient),
            identity_provider=provider,
        )
