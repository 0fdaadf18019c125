"""What the clock starts."""

from brightrun.api.queries import accounts
from brightrun.runtime.database import Pool, transaction


async def prune_sessions(pool: Pool) -> bool:
    """Forget sessions that have expired; False: there is never more to do at once."""
    async with transaction(pool) as conn:
        await accounts.delete_expired_sessions(conn)
    return False
