"""Attempts are leased and submitted concurrently, and what clusters respond is applied together."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from prometheus_client import Histogram

from brightrun.cluster_client.client import ClusterClient
from brightrun.cluster_client.responses import Rejected, Unanswered
from brightrun.contracts.cluster_api import SubmitRun
from brightrun.runtime.clients import PeerError
from brightrun.runtime.database import DATABASE_DOWN, Connection, Pool, transaction
from brightrun.runtime.errors import Unavailable
from brightrun.runtime.failpoints import failpoint
from brightrun.scheduler.coordination import lock_queue
from brightrun.scheduler.submission import actions, rules
from brightrun.scheduler.submission.artifacts import InputGone, InputUrls
from brightrun.scheduler.submission.models import Lease, NoInputs, SubmissionResult

log = structlog.get_logger()

MAX_CONCURRENT = 64
"""Submissions to one cluster at a time."""

DATABASE_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds; together less than a lease, and enough for a restart."""

SUBMISSION = Histogram("brightrun_submission_seconds", "How long a cluster took to answer a submission.", ["cluster"])

Submissions = Sequence[tuple[Lease, SubmissionResult]]


class Submitter:
    """Submits a lease to its cluster. Clusters call back at `callback_url`."""

    def __init__(self, clusters: Mapping[str, ClusterClient], inputs: InputUrls, callback_url: str) -> None:
        self.clusters = clusters
        self._inputs = inputs
        self._callback_url = callback_url

    async def submit(self, lease: Lease) -> SubmissionResult:
        """What the cluster responded, within `SUBMISSION_TIMEOUT`."""
        if lease.maybe_delivered and not lease.idempotent:
            return Unanswered("submitted before; a repetition would start a second run")
        try:
            async with asyncio.timeout(rules.SUBMISSION_TIMEOUT.total_seconds()):
                return await self._submit(lease)
        except TimeoutError:
            return Unanswered("no response in time")

    async def _submit(self, lease: Lease) -> SubmissionResult:
        try:
            body = await self._body(lease)
        except InputGone as gone:
            return Rejected(gone.error)
        except Unavailable as error:
            return NoInputs(f"no URLs: {error.details}")
        except PeerError as error:
            return NoInputs(f"no URLs: {error.message}")
        began = time.monotonic()
        try:
            return await self.clusters[lease.attempt.cluster].submit(body)
        finally:
            SUBMISSION.labels(lease.attempt.cluster).observe(time.monotonic() - began)

    async def _body(self, lease: Lease) -> SubmitRun:
        """Raises `InputGone`, `Unavailable` and `PeerError`."""
        job = lease.job
        inputs = await self._inputs.of(job)
        return SubmitRun(
            job_id=job.job_id,
            attempt=lease.attempt.attempt,
            dataset_url=inputs.dataset.url,
            dataset_sha256=inputs.dataset.sha256,
            validation=inputs.validation,
            adapter=inputs.adapter,
            hyperparameters=job.spec,
            gpu_config=job.gpu,
            callback_url=self._callback_url,
            resume_from=lease.resume_from,
        )


class Dispatcher:
    """One scheduler's submissions. A crash at any point leaves a lease that ends, and that another takes over."""

    def __init__(
        self,
        pool: Pool,
        submitter: Submitter,
        quota_gpus: int | None,
        wake: Callable[[], None],
        *,
        apply: Callable[[Connection, Submissions], Awaitable[None]] = actions.apply_submissions,
        max_concurrent: int = MAX_CONCURRENT,
    ) -> None:
        self._pool = pool
        self._submitter = submitter
        self._quota_gpus = quota_gpus
        self._wake = wake
        self._apply = apply
        self._max_concurrent = max_concurrent
        self._in_flight: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._responses: list[tuple[Lease, SubmissionResult]] = []
        self._saving = False

    async def work(self) -> bool:
        """Lease what may be submitted now and submit it in the background; True if there may be more at once."""
        slots = self._slots()
        if not any(slots.values()):
            return False
        async with transaction(self._pool) as conn:
            await lock_queue(conn)
            leases = await actions.lease(conn, slots, self._quota_gpus)
            if leases:
                failpoint("dispatch.leasing")
        self._submit_all(leases)
        return bool(leases)

    async def take_over(self) -> bool:
        """Submit again what others, or this scheduler before a restart, left unanswered; True if there may be more."""
        async with transaction(self._pool) as conn:
            leases = await actions.take_over(conn, self._slots())
        self._submit_all(leases)
        return bool(leases)

    def _slots(self) -> dict[str, int]:
        return {name: max(self._max_concurrent - self._in_flight[name], 0) for name in self._submitter.clusters}

    def _submit_all(self, leases: Sequence[Lease]) -> None:
        if leases:
            failpoint("dispatch.leased")
        for lease in leases:
            self._in_flight[lease.attempt.cluster] += 1
            task = asyncio.create_task(self._submit(lease))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Return when no submission is in flight and all responses are applied."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def _submit(self, lease: Lease) -> None:
        cluster = lease.attempt.cluster
        try:
            response = await self._submitter.submit(lease)
            failpoint("dispatch.submitted")
            self._responses.append((lease, response))
        except Exception:
            log.exception("attempt.failed", **lease.attempt.log_fields)
        self._in_flight[cluster] -= 1
        if self._in_flight[cluster] == self._max_concurrent // 2:
            self._wake()
        await self._save_responses()

    async def _save_responses(self) -> None:
        """Apply all responses there are in one transaction; those that come meanwhile are the next one's."""
        while self._responses and not self._saving:
            responses, self._responses = self._responses, []
            self._saving = True
            try:
                await self._save_with_retries(responses)
            except Exception:
                log.exception("attempts.unsaved", attempts=[str(lease.attempt.key) for lease, _ in responses])
            finally:
                self._saving = False

    async def _save_with_retries(self, responses: Submissions) -> None:
        """Wait for a database that is away; one response that cannot be applied does not stop the others."""
        for pause in DATABASE_PAUSES:
            try:
                return await self._save(responses)
            except DATABASE_DOWN:
                await asyncio.sleep(pause)
            except Exception:
                if len(responses) == 1:
                    raise
                for response in responses:
                    await self._save([response])
                return None
        return await self._save(responses)

    async def _save(self, responses: Submissions) -> None:
        async with transaction(self._pool) as conn:
            await self._apply(conn, responses)
            failpoint("dispatch.saving")
        failpoint("dispatch.saved")
        for lease, response in responses:
            log.info("attempt.answered", **lease.attempt.log_fields, answer=repr(response))
