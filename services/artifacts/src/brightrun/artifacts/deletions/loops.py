"""Objects whose deletion is due are deleted from the store."""

from datetime import timedelta

from brightrun.artifacts.deletions import queries
from brightrun.artifacts.storage import ObjectStore
from brightrun.runtime.database import Pool, transaction
from brightrun.runtime.failpoints import failpoint

RETRY = timedelta(minutes=1)


async def delete_next(pool: Pool, store: ObjectStore) -> bool:
    """Delete the objects of one pending deletion; False if none is due. A failed deletion is retried later."""
    async with transaction(pool) as conn:
        deletion = await queries.begin_deletion(conn, RETRY)
    if deletion is None:
        return False
    await store.remove_all(deletion.bucket, deletion.prefix)
    failpoint("deletion.done")
    async with transaction(pool) as conn:
        await queries.finish_deletion(conn, deletion)
    return True
