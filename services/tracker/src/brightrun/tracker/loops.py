"""The clock of summaries."""

from brightrun.runtime.database import Pool, transaction
from brightrun.tracker import actions
from brightrun.tracker.rules.summaries import POLICY, SummaryPolicy


async def summarize(pool: Pool, policy: SummaryPolicy = POLICY) -> bool:
    """Make summaries of one curve; True if there may be another that lacks some."""
    async with transaction(pool) as conn:
        return await actions.summarize(conn, policy)
