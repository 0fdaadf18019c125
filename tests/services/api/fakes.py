"""The neighbours' side of the internal interface: they check tokens for real and remember what they were asked."""

from typing import Any
from uuid import UUID

from fastapi import Request

from brightrun.contracts.values import new_id
from brightrun.runtime.errors import NotFound, Unavailable
from brightrun.runtime.http import Answer, create_app
from brightrun.runtime.tokens import CallerOf
from tests.conftest import SECRET

PAGINATION = {"page": 1, "limit": 20, "total": 1, "totalPages": 1}


class Fake:
    """A neighbour that forgets everything on `reset`."""

    def __init__(self, name: str) -> None:
        self.url = ""
        self.app = create_app(name, SECRET)
        self.reset()

    def reset(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []

    def remember(self, request: Request) -> None:
        self.asked.append((f"{request.method} {request.url.path}", dict(request.query_params)))


class FakeArtifacts(Fake):
    """Holds data sets and models, each with its owner."""

    def __init__(self) -> None:
        super().__init__("artifacts")
        self.app.post("/datasets", status_code=201)(self.upload)
        self.app.get("/datasets")(self.list_datasets)
        self.app.get("/datasets/{dataset_id}")(self.get_dataset)
        self.app.get("/datasets/{dataset_id}/errors")(self.get_errors)
        self.app.get("/models")(self.list_models)
        self.app.get("/models/{model_id}")(self.get_model)
        self.app.post("/models/{model_id}/download")(self.download)

    def reset(self) -> None:
        super().reset()
        self.datasets: dict[UUID, tuple[UUID, dict[str, Any]]] = {}
        self.models: dict[UUID, UUID] = {}
        self.uploaded = 0

    def hold_dataset(self, owner: UUID, **changes: Any) -> UUID:
        """A data set that `owner` uploaded."""
        dataset_id = new_id()
        dataset = {
            "id": str(dataset_id),
            "name": "Workshop replies",
            "format": "openai_chat",
            "status": "ready",
            "total_training_pairs": 240,
            "total_tokens": 30_000,
            "sha256": "ab" * 32,
        }
        self.datasets[dataset_id] = owner, dataset | changes
        return dataset_id

    def hold_model(self, owner: UUID) -> UUID:
        """A model of `owner`'s."""
        model_id = new_id()
        self.models[model_id] = owner
        return model_id

    async def upload(self, request: Request, caller: CallerOf, name: str, format: str = "") -> Answer[Any]:  # noqa: A002
        self.uploaded = 0
        async for chunk in request.stream():
            self.uploaded += len(chunk)
        dataset_id = self.hold_dataset(caller.user, name=name, format=format, status="uploaded")
        return Answer(data=self.datasets[dataset_id][1])

    async def list_datasets(self, request: Request, caller: CallerOf) -> Answer[Any]:
        self.remember(request)
        owned = [dataset for owner, dataset in self.datasets.values() if owner == caller.user]
        return Answer(data={"datasets": owned, "pagination": PAGINATION})

    async def get_dataset(self, dataset_id: UUID, request: Request, caller: CallerOf) -> Answer[Any]:
        self.remember(request)
        owner, dataset = self.datasets.get(dataset_id, (None, {}))
        if owner != caller.user:
            raise NotFound
        return Answer(data=dataset)

    async def get_errors(self, dataset_id: UUID, request: Request, caller: CallerOf) -> Answer[Any]:
        await self.get_dataset(dataset_id, request, caller)
        error = {"line": 3, "path": "$.messages", "code": "empty", "message": "No messages."}
        return Answer(data={"errors": [error], "error_count": 1, "pagination": PAGINATION})

    async def list_models(self, request: Request, caller: CallerOf) -> Answer[Any]:
        self.remember(request)
        owned = [{"id": str(model_id)} for model_id, owner in self.models.items() if owner == caller.user]
        return Answer(data={"models": owned, "pagination": PAGINATION})

    async def get_model(self, model_id: UUID, caller: CallerOf) -> Answer[Any]:
        if self.models.get(model_id) != caller.user:
            raise NotFound
        return Answer(data={"id": str(model_id)})

    async def download(self, model_id: UUID, body: dict[str, list[str]], caller: CallerOf) -> Answer[Any]:
        await self.get_model(model_id, caller)
        names = body.get("files", ["adapter_model.safetensors", "adapter_config.json"])
        return Answer(data={"download_urls": {name: f"https://store/{name}" for name in names}, "expires_in": 3600})


class FakeTracker(Fake):
    """Knows one curve and one ledger for every job, or is silent."""

    def __init__(self) -> None:
        super().__init__("tracker")
        self.app.get("/jobs/{job_id}/metrics")(self.metrics)
        self.app.get("/jobs/{job_id}/costs")(self.cost_records)
        self.app.get("/jobs/{job_id}/events")(self.events)
        self.app.get("/costs")(self.costs)

    def reset(self) -> None:
        super().reset()
        self.silent = False
        self.knows_job = True

    def remember(self, request: Request) -> None:
        super().remember(request)
        if self.silent:
            raise Unavailable
        if not self.knows_job:
            raise NotFound

    async def metrics(self, job_id: UUID, request: Request, caller: CallerOf) -> Answer[Any]:
        self.remember(request)
        return Answer(data={"points": [{"step": 1, "training_loss": 2.5}]})

    async def cost_records(self, job_id: UUID, request: Request, caller: CallerOf) -> Answer[Any]:
        self.remember(request)
        return Answer(data={"cost_records": [{"cost_type": "compute", "amount": "0.0972"}]})

    async def events(self, job_id: UUID, request: Request, caller: CallerOf) -> Answer[Any]:
        self.remember(request)
        return Answer(data={"events": [{"id": 8, "type": "queued"}]})

    async def costs(self, request: Request, caller: CallerOf) -> Answer[Any]:
        self.remember(request)
        return Answer(
            data={
                "total_cost": "0.5972",
                "cost_by_type": {"compute": "0.0972", "storage": "0.5000"},
                "chart_data": [{"date": "2026-11-24", "amount": "0.5972"}],
                "records": [{"cost_type": "compute", "amount": "0.0972"}],
                "truncated": False,
            }
        )


class FakeNotifier(Fake):
    """Holds one unread notification for everybody."""

    def __init__(self) -> None:
        super().__init__("notifier")
        self.app.get("/notifications")(self.list_notifications)
        self.app.patch("/notifications/{notification_id}/read")(self.read)
        self.app.post("/notifications/read-all")(self.read_all)

    async def list_notifications(self, request: Request, caller: CallerOf) -> Answer[Any]:
        self.remember(request)
        return Answer(data={"notifications": [{"type": "job_queued", "read": False}], "unread_count": 1})

    async def read(self, notification_id: UUID, request: Request, caller: CallerOf) -> Answer[Any]:
        self.remember(request)
        return Answer(data=None)

    async def read_all(self, request: Request, caller: CallerOf) -> Answer[Any]:
        self.remember(request)
        return Answer(data=None)
