"""The services that the gateway asks at request time."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from brightrun.api.settings import Settings
from brightrun.runtime.tokens import Neighbour


@dataclass(frozen=True, slots=True)
class Neighbours:
    """One client each."""

    artifacts: Neighbour
    tracker: Neighbour
    notifier: Neighbour


@asynccontextmanager
async def open_neighbours(settings: Settings) -> AsyncIterator[Neighbours]:
    """Clients that are closed when the block ends."""
    secret = settings.service_secret.get_secret_value()
    async with AsyncExitStack() as stack:

        def client(name: str, url: str) -> Neighbour:
            neighbour = Neighbour(name, url, secret, me="api")
            stack.push_async_callback(neighbour.close)
            return neighbour

        yield Neighbours(
            artifacts=client("artifacts", settings.artifacts_url),
            tracker=client("tracker", settings.tracker_url),
            notifier=client("notifier", settings.notifier_url),
        )
