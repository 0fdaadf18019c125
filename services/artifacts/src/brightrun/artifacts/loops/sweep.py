"""What nobody wants any more is removed from the store."""

from datetime import timedelta

from brightrun.artifacts.actions import uploads as actions
from brightrun.artifacts.queries import discards
from brightrun.artifacts.storage import ObjectStore
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.failpoints import failpoint

RETRY = timedelta(minutes=1)


async def remove_next(pool: Pool, store: ObjectStore) -> bool:
    """Remove the objects of one discard; False if none is due. A removal that fails or dies is begun again later."""
    async with transaction(pool) as conn:
        discard = await discards.claim_discard(conn, RETRY)
    if discard is None:
        return False
    await store.remove_all(discard.bucket, discard.prefix)
    failpoint("discard.removed")
    async with transaction(pool) as conn:
        await discards.end_discard(conn, discard)
    return True


async def end_abandoned_uploads(pool: Pool) -> bool:
    """Expire the uploads that nobody completed; False: there is never more to do at once."""
    async with transaction(pool) as conn:
        await actions.sweep_uploads(conn)
    return False
