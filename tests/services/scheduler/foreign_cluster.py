"""A GPU cluster that only speaks the original's HTTP API: four endpoints, and answers as its text describes them.

Its runs show, one after the other, the answers that a test has recorded for them; the last one stays.
"""

import json
from collections import Counter, deque
from typing import Any

from fastapi import FastAPI, Request, Response

from tests.services.scheduler.fakes import KEY

RECORDED: tuple[dict[str, Any], ...] = (
    {"status": "queued", "progress": 0},
    {"status": "initializing", "progress": 0, "current_stage": "loading_model"},
    {
        "status": "running",
        "progress": 12.5,
        "current_stage": "training",
        "current_epoch": 1,
        "current_step": 25,
        "metrics": {"training_loss": 1.91, "learning_rate": 4.8e-05, "throughput": 1740, "gpu_utilization": 93},
    },
    {
        "status": "running",
        "progress": 50,
        "current_stage": "training",
        "current_epoch": 2,
        "current_step": 100,
        "metrics": {"training_loss": 1.22, "validation_loss": 1.4, "learning_rate": 2.5e-05, "throughput": 1755},
    },
    {
        "status": "completed",
        "progress": 100,
        "current_stage": "completed",
        "current_epoch": 4,
        "current_step": 200,
        "metrics": {"training_loss": 0.87, "validation_loss": 1.1, "learning_rate": 0, "throughput": 1751},
    },
)
"""A whole training, as it is polled."""


class ForeignCluster:
    """Takes every submission as a new run: it knows nothing of attempts."""

    def __init__(self) -> None:
        self.name = "theirs"
        self.url = ""
        self.app = FastAPI()
        self.app.middleware("http")(self._check_key)
        self.app.post("/training/submit")(self.submit)
        self.app.get("/training/status/{run}")(self.status)
        self.app.post("/training/cancel/{run}")(self.cancel)
        self.reset()

    def reset(self) -> None:
        self.down = False
        self.submitted: list[dict[str, Any]] = []
        self.shows: dict[str, deque[dict[str, Any] | int]] = {}
        """What each run's status answers, in order: a body, or an HTTP status alone."""
        self.asked: Counter[str] = Counter()
        self.cancelled: Counter[str] = Counter()

    def run_of(self, job: Any) -> str:
        """The newest run of the job."""
        return next(f"gpu-{number}" for number, body in self._numbered() if body["job_id"] == str(job.job_id))

    def _numbered(self) -> list[tuple[int, dict[str, Any]]]:
        return list(enumerate(self.submitted, 1))[::-1]

    def show(self, job: Any, *answers: dict[str, Any] | int) -> None:
        self.shows[self.run_of(job)] = deque(answers)

    async def submit(self, request: Request) -> dict[str, Any]:
        self.submitted.append(json.loads(await request.body()))
        run = f"gpu-{len(self.submitted)}"
        self.shows[run] = deque([RECORDED[0]])
        return {"external_job_id": run}

    async def status(self, run: str) -> Response:
        self.asked[run] += 1
        answers = self.shows.get(run)
        if not answers:
            return Response(status_code=404)
        answer = answers.popleft() if len(answers) > 1 else answers[0]
        if isinstance(answer, int):
            return Response(status_code=answer)
        return Response(json.dumps({"external_job_id": run} | answer), media_type="application/json")

    async def cancel(self, run: str) -> Response:
        self.cancelled[run] += 1
        if run not in self.shows:
            return Response(status_code=404)
        self.shows[run] = deque([{"status": "cancelled", "progress": 50}])
        return Response(json.dumps({"success": True}), media_type="application/json")

    async def _check_key(self, request: Request, go_on: Any) -> Response:
        if self.down:
            return Response(status_code=503)
        allowed = request.headers.get("authorization") == f"Bearer {KEY}"
        return await go_on(request) if allowed else Response(status_code=401)
