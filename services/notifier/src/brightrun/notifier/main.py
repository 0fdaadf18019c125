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
POLL_SECONDS = 5.0
SENT_AT_ONCE = 8


async def start(settings: Settings) -> None:
    """Serve until told to stop."""
    async with open_service("notifier", settings, MIGRATIONS, CATALOGUE) as service:
        secret_box = SecretBox(settings.webhook_key.get_secret_value())
        sender = WebhookSender(secret_box, settings.webhook_private_hosts)
        service.app.state.secret_box = secret_box
        service.app.state.sender = sender
        service.app.include_router(routes.router)
        service.subscribe(*subscribers.SUBSCRIPTIONS)
        for lane in range(SENT_AT_ONCE):
            send = partial(loops.deliver_next, service.pool, sender)
            service.every(f"webhooks.{lane}", POLL_SECONDS, send, wake="webhooks")
        service.every("webhooks.prune", 3600.0, partial(loops.prune, service.pool))
        await service.run()


def main() -> None:
    """The process's entry point."""
    run(start(Settings()))


if __name__ == "__main__":
    main()
