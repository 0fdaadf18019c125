"""The public API as the pages see it: real HTTP semantics, canned answers, and a record of the requests."""

import asyncio
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers

Json = dict[str, Any]

TOKEN = "brs_of_the_tests"
PASSWORD = "correct horse battery"
ID = "01900000-0000-7000-8000-000000000001"
HOSTILE = "<script>alert(1)</script>"
MOMENT = "2026-11-24T19:00:00Z"
CPU = {"type": "CPU", "price_per_hour": 0.05, "available": "now"}
NEVER = {"type": "H100", "price_per_hour": 0.01, "available": "never"}
PAGINATION = {"page": 1, "limit": 20, "total": 1, "totalPages": 1}


def dataset(**changes: Any) -> Json:
    return {
        "id": ID, "name": HOSTILE, "format": "openai_chat", "status": "ready", "training_ready": True,
        "total_training_pairs": 1200, "total_tokens": 34567, "tokens_estimated": True, "size_bytes": 4096,
        "error_count": 0, "duplicates": 2, "created_at": MOMENT,
    } | changes  # fmt: skip


def job(**changes: Any) -> Json:
    return {
        "id": ID, "name": HOSTILE, "status": "running", "current_stage": "training", "progress": 42.0,
        "current_epoch": 1.5, "total_epochs": 3.0, "current_step": 42, "total_steps": 100, "preset_id": "balanced",
        "gpu_config": {"type": "CPU", "count": 1}, "estimated_total_cost": 1.25, "current_cost": 0.0421,
        "final_cost": None, "current_metrics": {"training_loss": 1.234}, "eta_seconds": 75.0, "artifact_id": None,
        "error": None, "cancel_requested_at": None, "pause_requested_at": None, "queued_at": MOMENT,
        "dataset": {"name": HOSTILE},
        "hyperparameters": {"base_model": "tiny", "rank": 16, "batch_size": 4},
    } | changes  # fmt: skip


def model(**changes: Any) -> Json:
    return {
        "id": ID, "job_id": ID, "name": HOSTILE, "status": "stored", "problem": None, "created_at": MOMENT,
        "dataset": {"name": HOSTILE},
        "quality_metrics": {
            "overall_score": 4, "convergence_quality": "good", "reason": "Loss fell by half.",
            "base_loss": 4.2, "adapter_loss": 1.1, "compared_examples": 20,
        },
        "training_summary": {
            "total_steps": 100, "final_loss": 1.1, "training_duration_hours": 0.5, "total_cost": "0.5421",
        },
        "configuration": {"hyperparameters": {"base_model": "tiny"}},
        "files": [{"name": "adapter.bin", "size": 2048, "sha256": "0" * 64}],
        "report": {
            "samples": [
                {"messages": [{"role": "user", "content": "My chain slips."}], "expected": "Measure it.",
                 "base": HOSTILE, "adapter": "Measure the wear."},
            ],
            "serving": {"peft": True, "vllm": True, "vllm_options": ["--max-lora-rank", "32"],
                        "findings": [{"message": "It needs a rank."}]},
        },
    } | changes  # fmt: skip


class FakeApi:
    """Change its attributes to change its answers; `calls` holds method, path and body of each request.

    `headers` are those of the last call.
    """

    def __init__(self) -> None:
        self.job = job()
        self.place: Json = {"position": None, "ahead_gpus": None, "expected_start": None, "waits_for": None}
        self.checkpoints: list[Json] = []
        self.datasets = [dataset()]
        self.unavailable: set[str] = set()
        self.refusal: Json | None = None
        self.calls: list[tuple[str, str, Any]] = []
        self.headers = Headers()
        self.uploaded = b""
        self.first_chunk = asyncio.Event()
        self.app = FastAPI()
        self.app.middleware("http")(self._gate)
        self.app.include_router(self._routes())

    async def _gate(self, request: Request, call_next: Any) -> Response:
        path = request.url.path
        self.headers = request.headers
        if any(path.startswith(prefix) for prefix in self.unavailable):
            return JSONResponse({"error": "It does not answer.", "code": "unavailable", "details": None}, 503)
        if path.startswith("/api/auth/") or path == "/health":
            return await call_next(request)
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"error": "Sign in first.", "code": "unauthorized", "details": None}, 401)
        if request.method != "GET" and self.refusal and path != "/api/jobs/estimate":
            return JSONResponse(self.refusal, 409)
        return await call_next(request)

    def _routes(self) -> APIRouter:
        router = APIRouter()
        for method, path, answer in (
            ("GET", "/health", lambda: "alive"),
            ("POST", "/api/auth/logout", lambda: None),
            ("GET", "/api/datasets", lambda: {"datasets": self.datasets, "pagination": PAGINATION}),
            ("GET", "/api/datasets/{_}", lambda: self.datasets[0]),
            ("GET", "/api/datasets/{_}/errors", self._errors),
            ("GET", "/api/presets", self._presets),
            ("GET", "/api/gpus", lambda: {"gpus": [NEVER, CPU]}),
            ("GET", "/api/jobs", lambda: {"jobs": [self.job], "pagination": PAGINATION}),
            ("POST", "/api/jobs", lambda: self.job),
            ("POST", "/api/jobs/estimate", self._estimate),
            ("GET", "/api/jobs/{_}", self._job),
            ("GET", "/api/jobs/{_}/queue", lambda: self.place),
            ("GET", "/api/jobs/{_}/checkpoints", lambda: {"checkpoints": self.checkpoints}),
            ("POST", "/api/jobs/{_}/checkpoints/{__}/download", self._download_checkpoint),
            ("POST", "/api/jobs/{_}/cancel", lambda: self.job),
            ("POST", "/api/jobs/{_}/pause", lambda: self.job),
            ("POST", "/api/jobs/{_}/resume", lambda: self.job),
            ("GET", "/api/models", lambda: {"models": [model()], "pagination": PAGINATION}),
            ("GET", "/api/models/{_}", model),
            ("POST", "/api/models/{_}/download", self._download),
            ("GET", "/api/notifications", self._notifications),
            ("PATCH", "/api/notifications/{_}/read", lambda: None),
            ("POST", "/api/notifications/read-all", lambda: None),
        ):
            router.add_api_route(path, self._answering(answer), methods=[method])
        router.add_api_route("/api/auth/{way}", self._enter, methods=["POST"])
        router.add_api_route("/api/datasets", self._upload, methods=["POST"], status_code=201)
        return router

    def _answering(self, answer: Any) -> Any:
        async def endpoint(request: Request) -> Json:
            body = await request.body()
            self.calls.append((request.method, request.url.path, await request.json() if body else None))
            return {"success": True, "data": answer()}

        return endpoint

    async def _enter(self, way: str, request: Request) -> Response:
        account = await request.json()
        if way == "login" and account["password"] != PASSWORD:
            error = {"error": "The e-mail address or the password is wrong.", "code": "wrong_credentials"}
            return JSONResponse(error, 401)
        if len(account["password"]) < 10:
            details = {"password": ["String should have at least 10 characters"]}
            return JSONResponse({"error": "Validation error", "code": "validation_error", "details": details}, 400)
        return JSONResponse({"success": True, "data": {"token": TOKEN}}, 201)

    async def _upload(self, request: Request) -> Json:
        self.calls.append(("POST", "/api/datasets", dict(request.query_params)))
        async for chunk in request.stream():
            self.uploaded += chunk
            if chunk:
                self.first_chunk.set()
        return {"success": True, "data": self.datasets[0]}

    def _errors(self) -> Json:
        errors = [{"line": 7, "path": "$.messages", "code": "no_messages", "message": HOSTILE}]
        return {"errors": errors, "error_count": 61, "pagination": PAGINATION | {"total": 61, "totalPages": 2}}

    def _presets(self) -> Json:
        spec = {"epochs": 3, "batch_size": 4, "rank": 16, "learning_rate": 5e-5}
        preset = {"id": "balanced", "name": "Balanced", "description": "Good for most.", "hyperparameters": spec}
        return {"presets": [preset]}

    def _estimate(self) -> Json:
        return {
            "estimated_cost": 1.25, "cost_breakdown": {"compute": 0.75, "storage": 0.5},
            "estimated_duration_hours": 0.5, "training_details": {"total_steps": 900},
        }  # fmt: skip

    def _job(self) -> Json:
        points = [{"step": 1, "training_loss": 4.5, "validation_loss": None, "gradient_norm": 1.0}]
        return {"job": self.job, "metrics": points, "cost_records": [], "unavailable": []}

    def _download(self) -> Json:
        return {"download_urls": {"adapter.bin": "http://store.test/adapter.bin?signature=abc"}, "expires_in": 3600}

    def _download_checkpoint(self) -> Json:
        name = "adapter_model.safetensors"
        return {"download_urls": {name: f"http://store.test/{name}?signature=abc"}, "expires_in": 3600, "model_id": ID}

    def _notifications(self) -> Json:
        notification = {
            "id": ID, "title": HOSTILE, "message": HOSTILE, "action_url": f"/training/jobs/{ID}", "read": False,
            "created_at": MOMENT,
        }  # fmt: skip
        return {"notifications": [notification], "unread_count": 3}
