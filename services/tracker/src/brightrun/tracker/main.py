"""The tracker: what jobs measured, did and cost."""

from functools import partial
from pathlib import Path

from brightrun.contracts.events import CATALOGUE
from brightrun.runtime.server import run
from brightrun.runtime.service import open_service
from brightrun.runtime.settings import SliceSettings
from brightrun.tracker import loops, routes, subscribers

MIGRATIONS = Path(__file__).parent / "migrations"


async def start(settings: SliceSettings) -> None:
    """Serve until told to stop."""
    async with open_service("tracker", settings, MIGRATIONS, CATALOGUE) as service:
        service.app.include_router(routes.router)
        service.subscribe(*subscribers.SUBSCRIPTIONS)
        service.every("curves.summarize", 5.0, partial(loops.summarize, service.pool))
        await service.run()


def main() -> None:
    """The process's entry point."""
    run(start(SliceSettings()))


if __name__ == "__main__":
    main()
