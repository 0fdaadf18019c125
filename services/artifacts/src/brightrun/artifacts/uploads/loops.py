"""The clock of uploads."""

from brightrun.artifacts.uploads import actions
from brightrun.runtime.database import Pool, transaction


async def expire_uploads(pool: Pool) -> bool:
    """Expire abandoned uploads. Always False: nothing more is due at once."""
    async with transaction(pool) as conn:
        await actions.expire_uploads(conn)
    return False
