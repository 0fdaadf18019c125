"""The object store (S3): streams in and out with flat memory, and signed URLs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import BinaryIO, TypeVar, cast
from urllib.parse import urlsplit

import urllib3
from minio import InvalidResponseError, Minio, S3Error, ServerError
from minio.commonconfig import ENABLED, Filter
from minio.lifecycleconfig import AbortIncompleteMultipartUpload, LifecycleConfig, Rule

from brightrun.artifacts.settings import Settings
from brightrun.artifacts.source import Source, StoredObject
from brightrun.runtime.errors import Unavailable

PART_BYTES = 5 * 1024 * 1024
"""The smallest part S3 takes; an upload holds a few of them."""
PIECE_BYTES = 1024 * 1024
UPLOADS = 48
TRANSFERS = 8
"""Objects streamed in at one time, from users and from clusters; more of them wait for a thread of their kind."""
READS = 16
"""Reads and small calls at one time, in threads of their own: those of the event loop may wait for what is read."""
ORPHANED_PARTS_DAYS = 1
STALL_SECONDS = 60.0
"""A sender that is silent for so long is given up."""
DIGEST = "x-amz-meta-sha256"

T = TypeVar("T")


class StoreUnavailable(Unavailable):
    """The object store does not answer; try again in a moment."""


class ObjectMissing(Exception):
    """There is no such object."""


class ObjectStore:
    """One S3 store. URLs are signed for the address that others reach it by."""

    def __init__(self, settings: Settings, stall_seconds: float = STALL_SECONDS) -> None:
        self._stall_seconds = stall_seconds
        self._s3 = _client(settings, settings.s3_endpoint)
        self._signer = _client(settings, settings.s3_public_endpoint or settings.s3_endpoint)
        self._uploads = ThreadPoolExecutor(UPLOADS, thread_name_prefix="upload")
        self._transfers = ThreadPoolExecutor(TRANSFERS, thread_name_prefix="transfer")
        self._reads = ThreadPoolExecutor(READS, thread_name_prefix="read")

    async def create_buckets(self, *buckets: str) -> None:
        """Create the buckets that are missing; the store itself ends uploads that a crash left half done."""
        for bucket in buckets:
            await self._call(partial(self._create_bucket, bucket))

    async def put(
        self,
        bucket: str,
        key: str,
        stream: AsyncIterator[bytes],
        limit: int,
        expected: StoredObject | None = None,
        *,
        from_user: bool = False,
    ) -> StoredObject:
        """Stream an object in and return its size and digest; on any failure nothing of it stays.

        Objects `from_user` wait for one another, as their senders may be slow, and not for others.
        Raises TooLarge beyond `limit` bytes, Mismatch if it is not what was `expected`, and what the stream raises.
        """
        source = Source(stream, limit, expected, self._stall_seconds)
        work = asyncio.ensure_future(
            self._call(
                lambda: self._s3.put_object(
                    bucket,
                    key,
                    cast("BinaryIO", source),
                    length=-1,
                    part_size=PART_BYTES,
                    num_parallel_uploads=1,
                    metadata={DIGEST: expected.sha256} if expected else None,
                ),
                self._uploads if from_user else self._transfers,
            )
        )
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            source.stop()
            await asyncio.gather(work, return_exceptions=True)
            raise
        return source.received

    async def holds(self, bucket: str, key: str, expected: StoredObject) -> bool:
        """Whether an object that was verified to be `expected` lies there."""
        try:
            found = await self._call(lambda: self._s3.stat_object(bucket, key))
        except ObjectMissing:
            return False
        return found.size == expected.size and (found.metadata or {}).get(DIGEST) == expected.sha256

    @asynccontextmanager
    async def open(self, bucket: str, key: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Lend an object's content in pieces; raises ObjectMissing."""
        response = await self._call(lambda: self._s3.get_object(bucket, key))
        try:
            yield self._pieces(response)
        finally:
            response.close()
            response.release_conn()

    async def remove(self, bucket: str, key: str) -> None:
        """Remove an object, if it is there."""
        await self._call(lambda: self._s3.remove_object(bucket, key))

    async def remove_all(self, bucket: str, prefix: str) -> None:
        """Remove every object whose key begins with `prefix`."""
        await self._call(partial(self._remove_all, bucket, prefix))

    def sign(self, bucket: str, key: str, lifetime: timedelta) -> str:
        """A URL that lets whoever holds it download the object until `lifetime` is over."""
        disposition = f'attachment; filename="{PurePosixPath(key).name}"'
        return self._signer.presigned_get_object(
            bucket, key, lifetime, response_headers={"response-content-disposition": disposition}
        )

    def close(self) -> None:
        """Start no more uploads; the threads end by themselves."""
        for threads in (self._uploads, self._transfers, self._reads):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _pieces(self, response: urllib3.BaseHTTPResponse) -> AsyncIterator[bytes]:
        while piece := await self._call(lambda: response.read(PIECE_BYTES)):
            yield piece

    async def _call(self, work: Callable[[], T], threads: ThreadPoolExecutor | None = None) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads or self._reads, work)
        except (urllib3.exceptions.HTTPError, ServerError, InvalidResponseError) as error:
            raise StoreUnavailable(repr(error)) from error
        except S3Error as error:
            if error.code == "NoSuchKey":
                raise ObjectMissing(error.object_name) from None
            if error.response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise StoreUnavailable(repr(error)) from error
            raise

    def _remove_all(self, bucket: str, prefix: str) -> None:
        for found in self._s3.list_objects(bucket, prefix, recursive=True):
            self._s3.remove_object(bucket, cast("str", found.object_name))

    def _create_bucket(self, bucket: str) -> None:
        try:
            self._s3.make_bucket(bucket)
        except S3Error as error:
            if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise
        rule = Rule(
            ENABLED,
            rule_filter=Filter(prefix=""),
            rule_id="abort-incomplete-uploads",
            abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(ORPHANED_PARTS_DAYS),
        )
        self._s3.set_bucket_lifecycle(bucket, LifecycleConfig([rule]))


def _client(settings: Settings, endpoint: str) -> Minio:
    url = urlsplit(endpoint)
    return Minio(
        url.netloc,
        settings.s3_access_key,
        settings.s3_secret_key.get_secret_value(),
        secure=url.scheme == "https",
        region=settings.s3_region,
        http_client=urllib3.PoolManager(
            maxsize=UPLOADS + TRANSFERS + READS,
            timeout=urllib3.Timeout(connect=5, read=60),
            retries=urllib3.Retry(total=3, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504)),
        ),
    )
