"""The notifier: tells users and their programs what happened to their jobs and data sets."""

from functools import partial
from pathlib import Path

from brightrun.contracts.events import CATALOGUE
from brightrun.notifier import loops, routes, subscribers
from brightrun.notifier.secret_box import SecretBox
from brightrun.notifier.settings import Settings
from brightrun.notifier.webhook_sender import WebhookSender
from brightrun.runtime.server import run
from brightrun.runtime.service import open_service

MIGRATIONS = Path(__file__).parent / "migrations"
POLL_SECONDS = 1.0


async def start(settings: Settings) -> None:
    """Serve until told to stop."""
    async with open_service("notifier", settings, MIGRATIONS, CATALOGUE) as service:
        secret_box = SecretBox(settings.webhook_key.get_secret_value())
        sender = WebhookSender(secret_box, settings.webhook_private_hosts)
        service.app.state.secret_box = secret_box
        service.app.state.sender = sender
        service.app.include_router(routes.router)
        service.subscribe(*subscribers.SUBSCRIPTIONS)
        dispatcher = loops.Dispatcher(service.pool, sender, service.waker("webhooks"))
        service.every("webhooks", POLL_SECONDS, dispatcher.work, wake="webhooks")
        service.every("webhooks.prune", 3600.0, partial(loops.prune, service.pool))
        try:
            await service.run()
        finally:
            await dispatcher.stop()


def main() -> None:
    """The process's entry point."""
    run(start(Settings()))


if __name__ == "__main__":
    main()
