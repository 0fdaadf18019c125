"""The notifier: tells users what happened to their jobs and data sets."""

from pathlib import Path

from brightrun.contracts.events import CATALOGUE
from brightrun.notifier import routes, subscribers
from brightrun.runtime.service import open_service, run
from brightrun.runtime.settings import SliceSettings

MIGRATIONS = Path(__file__).parent / "migrations"


async def start(settings: SliceSettings) -> None:
    """Serve until told to stop."""
    async with open_service("notifier", settings, MIGRATIONS, CATALOGUE) as service:
        service.app.include_router(routes.router)
        service.subscribe(
            subscribers.on_job_queued,
            subscribers.on_job_started,
            subscribers.on_job_completed,
            subscribers.on_dataset_validated,
            subscribers.on_artifact_ready,
            subscribers.on_budget_reached,
        )
        await service.run()


def main() -> None:
    """The process's entry point."""
    run(start(SliceSettings()))


if __name__ == "__main__":
    main()
