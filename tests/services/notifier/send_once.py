"""A process that sends one webhook, for tests that kill it on the way."""

import asyncio

from brightrun.notifier.loops import deliver_next
from brightrun.notifier.secret_box import SecretBox
from brightrun.notifier.settings import Settings
from brightrun.notifier.webhook_sender import WebhookSender
from brightrun.runtime.database import create_pool


async def main() -> None:
    settings = Settings()
    pool = await create_pool(settings.database_url.get_secret_value(), 2)
    secret_box = SecretBox(settings.webhook_key.get_secret_value())
    await deliver_next(pool, WebhookSender(secret_box, settings.webhook_private_hosts))


if __name__ == "__main__":
    asyncio.run(main())
