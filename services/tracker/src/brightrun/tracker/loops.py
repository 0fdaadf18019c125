"""What the clock starts."""

from brightrun.runtime.database import Pool, transaction
from brightrun.tracker import actions


async def summarize(pool: Pool) -> bool:
    """Make summaries of one curve; True if there may be another that lacks some."""
    async with transaction(pool) as conn:
        return await actions.summarize(conn)
