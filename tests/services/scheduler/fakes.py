"""The scheduler's outside world: a scripted GPU cluster with a ledger, and who signs data-set URLs."""

import asyncio
from collections import Counter, deque
from typing import Any, Literal
from uuid import UUID

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from brightrun.contracts.cluster_api import Capacity, RunEvent, RunEvents, RunStatus, SubmitRun, SubmittedRun
from brightrun.contracts.events import JobQueued
from brightrun.contracts.training import Checkpoint, MetricPoint
from brightrun.contracts.values import new_id
from brightrun.runtime.errors import NotFound, Unavailable
from brightrun.runtime.http import Answer, create_app
from brightrun.runtime.tokens import CallerOf
from tests.builders import NOON
from tests.conftest import SECRET

KEY = "the-key-of-the-cluster"
UNSUPPORTED = {
    "error": "The cluster cannot run that; the details say what it has.",
    "code": "unsupported",
    "details": {"gpu_config.type": ["this cluster has CPU"]},
}

Mood = Literal["busy", "unsupported", "plain refusal", "foreign refusal", "broken after accepting"]


class FakeCluster:
    """Accepts every submission unless `moods` says otherwise for the next ones; its runs do only what is reported."""

    def __init__(self) -> None:
        self.url = ""
        self.app = FastAPI()
        self.app.middleware("http")(self._check_key)
        self.app.post("/training/submit")(self.submit)
        self.app.get("/training/capacity")(self.capacity)
        self.app.get("/training/events")(self.events)
        self.app.post("/training/cancel/{external_job_id}")(self.cancel)
        self.reset()

    def reset(self) -> None:
        self.free_gpus = 8
        self.moods: deque[Mood | None] = deque()
        self.open_for_answers = asyncio.Event()
        self.open_for_answers.set()
        self.submitted: list[SubmitRun] = []
        self.runs: dict[tuple[UUID, int], str] = {}
        self.forgotten: set[str] = set()
        self.cancelled: Counter[str] = Counter()
        self.stream: list[RunEvent] = []

    def submissions(self, job: JobQueued) -> list[int]:
        """The attempts of the job that were submitted, repetitions included."""
        return [body.attempt for body in self.submitted if body.job_id == job.job_id]

    def run_of(self, job: JobQueued, attempt: int = 1) -> str:
        """The external id of the attempt's one run; the run is made when nobody submitted it."""
        key = job.job_id, attempt
        return self.runs.setdefault(key, f"run-{len(self.runs) + 1}")

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
        mood = self.moods.popleft() if self.moods else None
        await self.open_for_answers.wait()
        match mood:
            case "busy":
                return JSONResponse({"error": "All GPUs are busy.", "code": "no_capacity"}, 429)
            case "unsupported":
                return JSONResponse(UNSUPPORTED, 400)
            case "plain refusal":
                return Response("no such model", 400)
            case "foreign refusal":
                return JSONResponse({"detail": "no such model"}, 400)
        run = self.runs.setdefault((body.job_id, body.attempt), f"run-{len(self.runs) + 1}")
        if mood == "broken after accepting":
            return Response(status_code=500)
        answer = SubmittedRun(external_job_id=run, status="initializing")
        return Response(answer.model_dump_json(), 201, media_type="application/json")

    async def capacity(self) -> Capacity:
        return Capacity(total_gpus=8, free_gpus=self.free_gpus)

    async def events(self, after: int) -> RunEvents:
        """Never waits. A cursor from the future, of a lost history, counts as the newest."""
        after = min(after, len(self.stream))
        return RunEvents(events=tuple(self.stream[after:]), cursor=len(self.stream))

    async def cancel(self, external_job_id: str) -> Response:
        self.cancelled[external_job_id] += 1
        return Response(status_code=404 if external_job_id in self.forgotten else 200)

    async def _check_key(self, request: Request, go_on: Any) -> Response:
        allowed = request.headers.get("authorization") == f"Bearer {KEY}"
        return await go_on(request) if allowed else Response(status_code=401)


class FakeArtifacts:
    """Signs a URL for every data set that it holds, for its owner only."""

    def __init__(self) -> None:
        self.url = ""
        self.app = create_app("artifacts", SECRET)
        self.app.get("/datasets/{dataset_id}/url")(self.sign)
        self.reset()

    def reset(self) -> None:
        self.down = False
        self.owners: dict[UUID, UUID] = {}

    def hold(self, job: JobQueued) -> None:
        self.owners[job.dataset.dataset_id] = job.user_id

    async def sign(self, dataset_id: UUID, caller: CallerOf) -> Answer[dict[str, Any]]:
        if self.down:
            raise Unavailable
        if self.owners.get(dataset_id) != caller.user:
            raise NotFound
        return Answer(data={"url": f"https://store/{dataset_id}", "expires_in": 86_400})
