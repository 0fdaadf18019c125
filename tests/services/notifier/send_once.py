"""A process that sends one webhook, for tests that kill it on the way."""

import asyncio

from brightrun.notifier.loops import deliver_next
from brightrun.notifier.receivers import Receivers
from brightrun.notifier.settings import Settings
from brightrun.notifier.vault import Vault
from brightrun.runtime.database import create_pool


async def main() -> None:
    settings = Settings()
    pool = await create_pool(settings.database_url.get_secret_value(), 2)
    vault = Vault(settings.webhook_key.get_secret_value())
    await deliver_next(pool, Receivers(vault, settings.webhook_private_hosts))


if __name__ == "__main__":
    asyncio.run(main())
