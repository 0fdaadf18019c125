"""Attempts are leased, submitted side by side, and what clusters answer is written down together."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog
from prometheus_client import Histogram

from brightrun.cluster_client.client import ClusterClient
from brightrun.cluster_client.responses import Rejected, Unanswered
from brightrun.contracts.cluster_api import SubmitRun
from brightrun.contracts.events import JobQueued
from brightrun.contracts.training import JobError
from brightrun.runtime.clients import PeerError
from brightrun.runtime.database import DATABASE_DOWN, Connection, Pool, transaction
from brightrun.runtime.errors import Unavailable
from brightrun.runtime.failpoints import failpoint
from brightrun.runtime.kafka import Subscription
from brightrun.scheduler.actions import dispatch as actions
from brightrun.scheduler.artifacts import InputGone, Inputs, InputUrls
from brightrun.scheduler.models import Lease, NoInputs, SubmissionResult
from brightrun.scheduler.queries import shares
from brightrun.scheduler.rules import retries

log = structlog.get_logger()

AT_ONCE = 32
"""Submissions under way to one cluster."""

VISIBLE = 16
"""Jobs of a user and shape that one decision looks at; the next one follows at once."""

DATABASE_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds; together less than a lease, and enough for a restart."""

SUBMISSION = Histogram("brightrun_submission_seconds", "How long a cluster took to answer a submission.", ["cluster"])

NO_INPUTS = JobError(
    code="inputs_unsupported",
    message="The cluster with these GPUs takes neither a validation data set nor an adapter to start from.",
    advice="Use a validation_split and leave init_from out, or choose GPUs of another cluster.",
)


class Dispatcher:
    """One scheduler's submissions. A crash at any point leaves a lease that lapses, and is taken over by another."""

    def __init__(
        self,
        pool: Pool,
        clusters: Mapping[str, ClusterClient],
        inputs: InputUrls,
        quota_gpus: int | None,
        wake: Callable[[], None],
        *,
        callback_url: str,
    ) -> None:
        self._pool = pool
        self._clusters = clusters
        self._inputs = inputs
        self._quota_gpus = quota_gpus
        self._wake = wake
        self._callback_url = callback_url
        self._under_way: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: list[tuple[Lease, SubmissionResult]] = []
        self._writing = False
        self._leased: Sequence[Lease] = []
        self._more = False
        self._postponed = False

    def leasing(self, queued: Subscription[JobQueued]) -> Subscription[JobQueued]:
        """The reader, which also leases what may start, in the transaction that queues it: one commit less on the way.

        `submit_leased` is to be called once that is committed.
        """

        async def handle(events: Sequence[JobQueued], conn: Connection) -> None:
            self._leased = []
            await queued.handle(events, conn)
            if self._postponed:  # the try before failed: being queued must not wait for what went wrong
                self._postponed, self._more = False, True
                return
            self._postponed = True
            self._leased = await self._lease(conn)
            self._postponed, self._more = False, 0 < len(self._leased) < len(events)

        return replace(queued, handle=handle)

    def submit_leased(self) -> None:
        """Submit what was leased with the reader's last transaction."""
        leases, self._leased = self._leased, []
        self._submit_all(leases)
        if self._more:
            self._wake()

    async def work(self) -> bool:
        """Lease what may be submitted now and submit it in the background; True if there may be more at once."""
        if not any(self._slots().values()):
            return False
        async with transaction(self._pool) as conn:
            await shares.lock_dispatch(conn)
            leases = await self._lease(conn)
        self._submit_all(leases)
        return bool(leases)

    async def _lease(self, conn: Connection) -> Sequence[Lease]:
        leases = await actions.lease(conn, self._slots(), self._quota_gpus, VISIBLE)
        if leases:
            failpoint("dispatch.leasing")
        return leases

    async def take_over(self) -> bool:
        """Submit again what others, or we in an earlier life, left without an answer; True if there may be more."""
        async with transaction(self._pool) as conn:
            leases = await actions.take_over(conn, self._slots())
        self._submit_all(leases)
        return bool(leases)

    def _slots(self) -> dict[str, int]:
        return {name: max(AT_ONCE - self._under_way[name], 0) for name in self._clusters}

    def _submit_all(self, leases: Sequence[Lease]) -> None:
        if leases:
            failpoint("dispatch.leased")
        for lease in leases:
            self._under_way[lease.attempt.cluster] += 1
            task = asyncio.create_task(self._bring_to_an_answer(lease))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Return when no submission is under way and all answers are written down."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def _bring_to_an_answer(self, lease: Lease) -> None:
        cluster = lease.attempt.cluster
        try:
            answer = await self._ask(lease)
            failpoint("dispatch.submitted")
            self._answers.append((lease, answer))
        except Exception:
            log.exception("attempt.failed", job_id=str(lease.attempt.job_id), attempt=lease.attempt.attempt)
        self._under_way[cluster] -= 1
        if self._under_way[cluster] == AT_ONCE // 2:
            self._wake()
        await self._write_down()

    async def _write_down(self) -> None:
        """Write down all answers there are; those that come meanwhile are the next transaction's."""
        while self._answers and not self._writing:
            answers, self._answers = self._answers, []
            self._writing = True
            try:
                await self._save_patiently(answers)
            except Exception:
                log.exception("attempts.unwritten", attempts=[str(lease.attempt.key) for lease, _ in answers])
            finally:
                self._writing = False

    async def _save_patiently(self, answers: Sequence[tuple[Lease, SubmissionResult]]) -> None:
        """Wait for a database that is away; an answer that cannot be written must not take the others along."""
        for pause in DATABASE_PAUSES:
            try:
                return await self._save(answers)
            except DATABASE_DOWN:
                await asyncio.sleep(pause)
            except Exception:
                if len(answers) == 1:
                    raise
                for answer in answers:
                    await self._save([answer])
                return None
        return await self._save(answers)

    async def _save(self, answers: Sequence[tuple[Lease, SubmissionResult]]) -> None:
        async with transaction(self._pool) as conn:
            await actions.apply_submissions(conn, answers)
            failpoint("dispatch.saving")
        failpoint("dispatch.saved")
        for lease, answer in answers:
            log.info(
                "attempt.answered",
                job_id=str(lease.attempt.job_id),
                attempt=lease.attempt.attempt,
                cluster=lease.attempt.cluster,
                answer=repr(answer),
            )

    async def _ask(self, lease: Lease) -> SubmissionResult:
        if lease.unsure and not lease.idempotent:
            return Unanswered("asked before, and it would start a second run")
        try:
            async with asyncio.timeout(retries.SUBMISSION_BUDGET.total_seconds()):
                return await self._submit(lease)
        except TimeoutError:
            return Unanswered("no answer in time")

    async def _submit(self, lease: Lease) -> SubmissionResult:
        if (lease.job.validation or lease.job.start) and not lease.inputs:
            return Rejected(NO_INPUTS)
        try:
            inputs = await self._inputs.of(lease.job)
        except InputGone as gone:
            return Rejected(gone.error)
        except Unavailable as error:
            return NoInputs(f"no URLs: {error.details}")
        except PeerError as error:
            return NoInputs(f"no URLs: {error.message}")
        began = time.monotonic()
        try:
            return await self._clusters[lease.attempt.cluster].submit(self._request(lease, inputs))
        finally:
            SUBMISSION.labels(lease.attempt.cluster).observe(time.monotonic() - began)

    def _request(self, lease: Lease, inputs: Inputs) -> SubmitRun:
        return SubmitRun(
            job_id=lease.job.job_id,
            attempt=lease.attempt.attempt,
            dataset_url=inputs.dataset.url,
            dataset_sha256=inputs.dataset.sha256,
            validation=inputs.validation,
            adapter=inputs.adapter,
            hyperparameters=lease.job.spec,
            gpu_config=lease.job.gpu,
            callback_url=self._callback_url,
            resume_from=lease.resume_from,
        )
