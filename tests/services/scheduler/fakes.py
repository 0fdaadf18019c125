"""The scheduler's outside world: a scripted GPU cluster with a ledger, and who signs data-set URLs."""

import asyncio
import json
from collections import Counter, deque
from typing import Any, Literal
from uuid import UUID

from fastapi import FastAPI, Request, Response

from brightrun.contracts.cluster_api import (
    Capabilities,
    Capacity,
    GpuCapacity,
    Pagination,
    RunEvent,
    RunEvents,
    RunList,
    RunStatus,
    RunSummary,
    StopRun,
    SubmitRun,
    SubmittedRun,
)
from brightrun.contracts.events import ADAPTER_FILES, JobQueued
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import Checkpoint, MetricPoint
from brightrun.contracts.values import new_id
from brightrun.runtime.errors import NotFound, Unavailable
from brightrun.runtime.http import Envelope, create_app
from brightrun.runtime.tokens import CallerOf
from tests.builders import NOON
from tests.conftest import SECRET

KEY = "the-key-of-the-cluster"
SubmissionOutcome = Literal[
    "busy",
    "unsupported",
    "plain rejection",
    "foreign rejection",
    "broken after accepting",
    "locked out",
    "not resumable",
]

FEATURES = ("idempotent_submit", "events", "graceful_stop", "resume", "capacity", "runs", "inputs")

REJECTIONS: dict[SubmissionOutcome | None, tuple[int, object]] = {
    "busy": (429, {"error": "All GPUs are busy.", "code": "no_capacity"}),
    "unsupported": (
        400,
        {
            "error": "The cluster cannot run that; the details say what it has.",
            "code": "unsupported",
            "details": {"gpu_config.type": ["this cluster has CPU"]},
        },
    ),
    "plain rejection": (400, "no such model"),
    "foreign rejection": (400, {"detail": "no such model"}),
    "locked out": (401, {"error": "Sign in first.", "code": "unauthorized"}),
    "not resumable": (409, {"error": "It left no checkpoint.", "code": "not_resumable"}),
}


class FakeCluster:
    """Accepts every submission unless `moods` says otherwise for the next ones; its runs do only what is reported."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.url = ""
        self.app = FastAPI()
        self.app.middleware("http")(self._check_key)
        self.app.post("/training/submit")(self.submit)
        self.app.get("/training/capabilities")(self.capabilities)
        self.app.get("/training/capacity")(self.capacity)
        self.app.get("/training/events")(self.events)
        self.app.post("/training/cancel/{external_job_id}")(self.cancel)
        self.app.post("/training/stop/{external_job_id}")(self.stop)
        self.app.get("/training/status/{external_job_id}")(self.status)
        self.app.get("/training/runs")(self.list_runs)
        self.reset()

    def reset(self) -> None:
        self.gpus = {"CPU": (8, 8)}
        """By type: GPUs in all, and free."""
        self.foreign = False
        """Only the original's four endpoints are there."""
        self.features: dict[str, Any] = dict.fromkeys(FEATURES, True) | {"stop_modes": ("checkpoint", "finish")}
        self.down = False
        self.asked: Counter[str] = Counter()
        self.outcomes: deque[SubmissionOutcome | None] = deque()
        self.may_respond = asyncio.Event()
        self.may_respond.set()
        self.submitted: list[SubmitRun] = []
        self.runs: dict[tuple[UUID, int], str] = {}
        self.forgotten: set[str] = set()
        self.cancelled: Counter[str] = Counter()
        self.signals: list[tuple[str, str]] = []
        """The stop signals, each with its run."""
        self.stream: list[RunEvent] = []

    def submissions(self, job: JobQueued) -> list[int]:
        """The attempts of the job that were submitted, repetitions included."""
        return [body.attempt for body in self.submitted if body.job_id == job.job_id]

    def run_of(self, job: JobQueued, attempt: int = 1) -> str:
        """The external id of the attempt's one run; it is made if it was not submitted."""
        key = job.job_id, attempt
        return self.runs.setdefault(key, self._next_id())

    def _next_id(self) -> str:
        return f"{self.name}-run-{len(self.runs) + 1}"

    def runs_of(self, job: JobQueued) -> list[str]:
        return [run for (job_id, _), run in self.runs.items() if job_id == job.job_id]

    def report(
        self,
        job: JobQueued,
        status: str,
        *,
        attempt: int = 1,
        points: tuple[MetricPoint, ...] = (),
        checkpoints: tuple[Checkpoint, ...] = (),
        **state: Any,
    ) -> RunEvent:
        """Let something happen to the attempt's run."""
        key = job.job_id, attempt
        run = RunStatus(
            **{
                "external_job_id": self.run_of(job, attempt),
                "job_id": job.job_id,
                "attempt": attempt,
                "status": status,
                "stage": "training",
                "progress": 50,
                "started_at": NOON,
            }
            | state
        )
        seq = 1 + sum((event.run.job_id, event.run.attempt) == key for event in self.stream)
        cursor = len(self.stream) + 1
        event = RunEvent(
            cursor=cursor, event_id=new_id(), at=NOON, seq=seq, run=run, points=points, checkpoints=checkpoints
        )
        self.stream.append(event)
        return event

    async def submit(self, body: SubmitRun) -> Response:
        self.submitted.append(body)
        outcome = self.outcomes.popleft() if self.outcomes else None
        await self.may_respond.wait()
        if outcome in REJECTIONS:
            status, rejection = REJECTIONS[outcome]
            return Response(
                rejection if isinstance(rejection, str) else json.dumps(rejection, separators=(",", ":")), status
            )
        run = self.runs.setdefault((body.job_id, body.attempt), self._next_id())
        if outcome == "broken after accepting":
            return Response(status_code=500)
        answer = SubmittedRun(external_job_id=run, status="initializing")
        return Response(answer.model_dump_json(), 201, media_type="application/json")

    async def capabilities(self) -> Response:
        self.asked["capabilities"] += 1
        if self.foreign:
            return Response(status_code=404)
        capabilities = Capabilities(
            name=self.name, version="1", executor="fake", gpu_types=tuple(self.gpus), **self.features
        )
        return Response(capabilities.model_dump_json(), media_type="application/json")

    async def capacity(self) -> Capacity:
        self.asked["capacity"] += 1
        gpus = tuple(GpuCapacity(type=name, total=total, free=free) for name, (total, free) in self.gpus.items())
        return Capacity(total_gpus=sum(one.total for one in gpus), free_gpus=sum(one.free for one in gpus), gpus=gpus)

    async def events(self, after: int) -> RunEvents:
        """Never waits. A cursor from the future, of a lost history, counts as the newest."""
        after = min(after, len(self.stream))
        return RunEvents(events=tuple(self.stream[after:]), cursor=len(self.stream))

    async def cancel(self, external_job_id: str) -> Response:
        self.cancelled[external_job_id] += 1
        self.signals.append((external_job_id, "cancel"))
        return Response(status_code=404 if external_job_id in self.forgotten else 200)

    async def stop(self, external_job_id: str, body: StopRun) -> Response:
        self.signals.append((external_job_id, body.mode))
        return Response(status_code=404 if external_job_id in self.forgotten else 200)

    async def status(self, external_job_id: str) -> Response:
        self.asked[external_job_id] += 1
        last = [event.run for event in self.stream if event.run.external_job_id == external_job_id]
        if external_job_id in self.forgotten or not last:
            return Response(status_code=404)
        return Response(last[-1].model_dump_json(), media_type="application/json")

    async def list_runs(self, page: int = 1, limit: int = 100) -> RunList:
        """The live ones."""
        over = {event.run.external_job_id for event in self.stream if JobStatus(event.run.status).terminal}
        live = [
            RunSummary(external_job_id=run, job_id=job_id, attempt=attempt, status="running", live=True)
            for (job_id, attempt), run in self.runs.items()
            if run not in over and run not in self.forgotten
        ]
        pages = -(-len(live) // limit)
        shown = tuple(live[(page - 1) * limit : page * limit])
        return RunList(runs=shown, pagination=Pagination(page=page, limit=limit, total=len(live), totalPages=pages))

    async def _check_key(self, request: Request, go_on: Any) -> Response:
        if self.down:
            return Response(status_code=503)
        allowed = request.headers.get("authorization") == f"Bearer {KEY}"
        return await go_on(request) if allowed else Response(status_code=401)


class FakeArtifacts:
    """Signs a URL for every data set that it holds, for its owner only."""

    def __init__(self) -> None:
        self.url = ""
        self.app = create_app("artifacts", SECRET)
        self.app.get("/datasets/{dataset_id}/url")(self.sign)
        self.app.get("/models/{model_id}/adapter")(self.sign_adapter)
        self.reset()

    def reset(self) -> None:
        self.down = False
        self.owners: dict[UUID, UUID] = {}
        self.urls: dict[UUID, str] = {}
        self.signed = 0

    def hold(self, job: JobQueued) -> None:
        self.owners[job.dataset.dataset_id] = job.user_id
        if job.validation:
            self.owners[job.validation.dataset_id] = job.user_id
        if job.start:
            self.owners[job.start.artifact_id] = job.user_id

    async def sign(self, dataset_id: UUID, caller: CallerOf) -> Envelope[dict[str, Any]]:
        if self.down:
            raise Unavailable
        if self.owners.get(dataset_id) != caller.user:
            raise NotFound
        self.signed += 1
        return Envelope(data={"url": self.urls.get(dataset_id, f"https://store/{dataset_id}"), "expires_in": 86_400})

    async def sign_adapter(self, model_id: UUID, caller: CallerOf) -> Envelope[dict[str, Any]]:
        if self.owners.get(model_id) != caller.user:
            raise NotFound
        self.signed += 1
        urls = {name: f"https://store/{model_id}/{name}" for name in sorted(ADAPTER_FILES)}
        return Envelope(data={"download_urls": urls, "expires_in": 86_400})
