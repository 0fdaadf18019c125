"""The peer services' side of the internal interface: they verify tokens and record their requests."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from brightrun.contracts.checkpoints import CheckpointCopy
from brightrun.contracts.errors import CheckpointGone, ClusterUnavailable, ModelNotStored, UploadAborted
from brightrun.contracts.training import TrainingSpec
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.errors import NotFound, ServiceError, Unavailable
from brightrun.runtime.http import Envelope, create_app
from brightrun.runtime.tokens import CallerOf
from tests.builders import adapter_ref
from tests.conftest import SECRET

KEPT = 1_000_000
"""So much of an upload's content is kept."""
PAGINATION = {"page": 1, "limit": 20, "total": 1, "totalPages": 1}


class Fake:
    """A peer service that forgets everything on `reset`."""

    def __init__(self, name: str) -> None:
        self.url = ""
        self.app = create_app(name, SECRET)
        self.reset()

    def reset(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []

    def remember(self, request: Request) -> None:
        self.requests.append((f"{request.method} {request.url.path}", dict(request.query_params)))


class FakeArtifacts(Fake):
    """Holds data sets and models, each with its owner."""

    def __init__(self) -> None:
        super().__init__("artifacts")
        self.app.post("/datasets", status_code=201)(self.upload)
        self.app.get("/datasets")(self.list_datasets)
        self.app.get("/datasets/slice")(self.slice_datasets)
        self.app.get("/datasets/{dataset_id}")(self.get_dataset)
        self.app.patch("/datasets/{dataset_id}")(self.rename_dataset)
        self.app.delete("/datasets/{dataset_id}")(self.delete_dataset)
        self.app.get("/datasets/{dataset_id}/content")(self.get_content)
        self.app.post("/uploads", status_code=201)(self.open_upload)
        self.app.post("/uploads/{upload_id}/parts", status_code=201)(self.add_part)
        self.app.post("/uploads/{upload_id}/complete")(self.complete_upload)
        self.app.post("/uploads/{upload_id}/cancel")(self.cancel_upload)
        self.app.get("/datasets/{dataset_id}/errors")(self.get_errors)
        self.app.get("/datasets/{dataset_id}/warnings")(self.get_warnings)
        self.app.get("/datasets/{dataset_id}/report")(self.get_report)
        self.app.get("/datasets/{dataset_id}/preview")(self.get_preview)
        self.app.post("/datasets/{dataset_id}/drop-invalid")(self.get_dataset)
        self.app.get("/models")(self.list_models)
        self.app.get("/models/{model_id}")(self.get_model)
        self.app.patch("/models/{model_id}")(self.change_model)
        self.app.delete("/models/{model_id}")(self.delete_model)
        self.app.post("/models/{model_id}/download")(self.download)
        self.app.put("/models/{model_id}/checkpoint")(self.copy_checkpoint)
        self.app.get("/checkpoints")(self.list_checkpoints)
        self.app.post("/models/{model_id}/generate")(self.generate)

    def reset(self) -> None:
        super().reset()
        self.datasets: dict[UUID, tuple[UUID, dict[str, Any]]] = {}
        self.models: dict[UUID, UUID] = {}
        self.keeps_models = self.fails = False
        self.uploaded = 0
        self.unavailable = False
        self.contents: dict[UUID, bytes] = {}
        self.uploads: dict[UUID, tuple[UUID, dict[str, Any]]] = {}
        self.parts: dict[UUID, dict[UUID, bytes]] = {}
        self.model_fields: dict[UUID, dict[str, Any]] = {}
        self.said: list[bytes] = [b'{"kind":"done","prompt_tokens":3,"seconds":0.1}\n']
        self.heard: list[Any] = []
        self.refuses_generation: ServiceError | None = None
        self.on_clusters: dict[str, dict[int, datetime | None]] = {}
        """The checkpoints of each run: step and until when it is kept."""
        self.copies: list[CheckpointCopy] = []
        self.copy_status = "stored"
        self.copy_error: ServiceError | None = None

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
            "size_bytes": 120_000,
            "created_at": utc_now().isoformat(),
            "errors_by_code": {},
        }
        dataset |= changes
        self.datasets[dataset_id] = owner, dataset | {"training_sha256": dataset["sha256"]}
        return dataset_id

    def hold_model(self, owner: UUID, **fields: Any) -> UUID:
        """A model of `owner`'s."""
        model_id = new_id()
        self.models[model_id] = owner
        self.model_fields[model_id] = fields
        return model_id

    def hold_adapter(self, owner: UUID, status: str = "stored", **spec: Any) -> UUID:
        """A model of `owner`'s that a training can start from."""
        start = adapter_ref()
        return self.hold_model(
            owner,
            status=status,
            name=start.name,
            job_id=str(new_id()),
            created_at=utc_now().isoformat(),
            configuration={"hyperparameters": TrainingSpec(**spec).resolved().model_dump(mode="json")},
            files=[file.model_dump() for file in start.files] if status == "stored" else [],
        )

    async def upload(self, request: Request, caller: CallerOf, name: str, format: str = "") -> Envelope[Any]:  # noqa: A002
        self.uploaded, content = 0, b""
        try:
            async for chunk in request.stream():
                self.uploaded += len(chunk)
                content += chunk[: max(0, KEPT - len(content))]
        except ClientDisconnect:
            raise UploadAborted from None
        dataset_id = self.hold_dataset(
            caller.user, name=name, format=format, status="uploaded", size_bytes=self.uploaded
        )
        self.contents[dataset_id] = content
        return Envelope(data=self.datasets[dataset_id][1])

    async def slice_datasets(
        self,
        caller: CallerOf,
        limit: int,
        order: str,
        at: datetime | None = None,
        id: UUID | None = None,  # noqa: A002
    ) -> Envelope[Any]:
        def place(dataset: dict[str, Any]) -> tuple[datetime, UUID]:
            return datetime.fromisoformat(dataset["created_at"]), UUID(dataset["id"])

        owned = sorted(
            (dataset for owner, dataset in self.datasets.values() if owner == caller.user),
            key=place,
            reverse=order == "desc",
        )
        if at and id:
            owned = [row for row in owned if (place(row) < (at, id)) == (order == "desc") and place(row) != (at, id)]
        return Envelope(data={"datasets": owned[:limit]})

    async def rename_dataset(self, dataset_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        dataset = (await self.get_dataset(dataset_id, request, caller)).data
        dataset |= await request.json()
        return Envelope(data=dataset)

    async def delete_dataset(self, dataset_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        if self.unavailable:
            raise Unavailable
        await self.get_dataset(dataset_id, request, caller)
        del self.datasets[dataset_id]
        return Envelope(data=None)

    async def get_content(self, dataset_id: UUID, request: Request, caller: CallerOf) -> Response:
        await self.get_dataset(dataset_id, request, caller)
        return Response(self.contents[dataset_id])

    async def open_upload(self, request: Request, caller: CallerOf) -> Envelope[Any]:
        upload = {
            "id": str(new_id()),
            "status": "pending",
            "created_at": "2026-11-24T12:00:00Z",
            "expires_at": "2026-11-24T13:00:00Z",
            "dataset": None,
        } | await request.json()
        self.uploads[UUID(upload["id"])] = caller.user, upload
        self.parts[UUID(upload["id"])] = {}
        return Envelope(data=upload)

    def owned_upload(self, upload_id: UUID, caller: CallerOf) -> dict[str, Any]:
        owner, upload = self.uploads.get(upload_id, (None, {}))
        if owner != caller.user:
            raise NotFound
        return upload

    async def add_part(self, upload_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        self.owned_upload(upload_id, caller)
        part_id = new_id()
        self.parts[upload_id][part_id] = await request.body()
        part = {"id": str(part_id), "upload_id": str(upload_id), "created_at": "2026-11-24T12:00:00Z"}
        return Envelope(data=part)

    async def complete_upload(self, upload_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        upload = self.owned_upload(upload_id, caller)
        body = await request.json()
        content = b"".join(self.parts[upload_id].get(UUID(part_id), b"") for part_id in body["part_ids"])
        dataset_id = self.hold_dataset(caller.user, name=upload["filename"], size_bytes=len(content), status="uploaded")
        self.contents[dataset_id] = content
        upload |= {"status": "completed", "dataset": self.datasets[dataset_id][1]}
        return Envelope(data=upload)

    async def cancel_upload(self, upload_id: UUID, caller: CallerOf) -> Envelope[Any]:
        upload = self.owned_upload(upload_id, caller)
        upload["status"] = "cancelled"
        return Envelope(data=upload)

    async def list_datasets(self, request: Request, caller: CallerOf) -> Envelope[Any]:
        self.remember(request)
        owned = [dataset for owner, dataset in self.datasets.values() if owner == caller.user]
        return Envelope(data={"datasets": owned, "pagination": PAGINATION})

    async def get_dataset(self, dataset_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        self.remember(request)
        owner, dataset = self.datasets.get(dataset_id, (None, {}))
        if owner != caller.user:
            raise NotFound
        return Envelope(data=dataset)

    async def get_warnings(self, dataset_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        await self.get_dataset(dataset_id, request, caller)
        return Envelope(data={"warnings": [], "warnings_by_code": {}, "pagination": PAGINATION})

    async def get_preview(self, dataset_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        await self.get_dataset(dataset_id, request, caller)
        return Envelope(data={"examples": [], "next_offset": None, "complete": True})

    async def get_report(self, dataset_id: UUID, request: Request, caller: CallerOf) -> Response:
        await self.get_dataset(dataset_id, request, caller)
        return Response(f"a report as {request.query_params['format']}")

    async def get_errors(self, dataset_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        await self.get_dataset(dataset_id, request, caller)
        error = {"line": 3, "path": "$.messages", "code": "empty", "message": "No messages."}
        return Envelope(data={"errors": [error], "error_count": 1, "pagination": PAGINATION})

    async def list_models(self, request: Request, caller: CallerOf) -> Envelope[Any]:
        self.remember(request)
        owned = [self.model(model_id) for model_id, owner in self.models.items() if owner == caller.user]
        return Envelope(data={"models": owned, "pagination": PAGINATION})

    async def get_model(self, model_id: UUID, caller: CallerOf) -> Envelope[Any]:
        if self.models.get(model_id) != caller.user:
            raise NotFound
        return Envelope(data=self.model(model_id))

    def model(self, model_id: UUID) -> dict[str, Any]:
        return {"id": str(model_id)} | self.model_fields.get(model_id, {})

    async def change_model(self, model_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        await self.get_model(model_id, caller)
        self.model_fields[model_id] = self.model_fields.get(model_id, {}) | await request.json()
        return Envelope(data=self.model(model_id))

    async def delete_model(self, model_id: UUID, caller: CallerOf) -> Envelope[Any]:
        await self.get_model(model_id, caller)
        if self.fails:
            raise ServiceError
        if self.keeps_models:
            raise ModelNotStored
        del self.models[model_id]
        return Envelope(data=None)

    async def download(self, model_id: UUID, body: dict[str, list[str]], caller: CallerOf) -> Envelope[Any]:
        await self.get_model(model_id, caller)
        names = body.get("files", ["adapter_model.safetensors", "adapter_config.json"])
        return Envelope(data={"download_urls": {name: f"https://store/{name}" for name in names}, "expires_in": 3600})

    async def list_checkpoints(self, cluster: str, external_job_id: str, caller: CallerOf) -> Envelope[Any]:
        if self.unavailable:
            raise ClusterUnavailable({"cluster": cluster})
        kept = self.on_clusters.get(external_job_id, {})
        return Envelope(
            data={
                "checkpoints": [
                    {"step": step, "saved_at": utc_now(), "size": 9, "kept_until": until}
                    for step, until in kept.items()
                ]
            }
        )

    async def copy_checkpoint(self, model_id: UUID, body: CheckpointCopy, caller: CallerOf) -> Envelope[Any]:
        if self.copy_error:
            raise self.copy_error
        if model_id not in self.models:
            if body.step not in self.on_clusters.get(body.external_job_id, {}):
                raise CheckpointGone
            self.copies.append(body)
            self.models[model_id] = caller.user
            self.model_fields[model_id] = {
                "status": self.copy_status,
                "problem": None if self.copy_status == "stored" else "the cluster answered 500",
                "name": body.name,
                "job_id": str(body.job_id),
                "checkpoint": {"attempt": body.attempt, "step": body.step},
                "created_at": utc_now().isoformat(),
                "configuration": {"hyperparameters": body.spec.model_dump(mode="json")},
                "files": [file.model_dump() for file in adapter_ref().files],
            }
        return await self.get_model(model_id, caller)

    async def generate(self, model_id: UUID, request: Request, caller: CallerOf) -> Response:
        await self.get_model(model_id, caller)
        if self.refuses_generation:
            raise self.refuses_generation
        self.heard.append(await request.json())

        async def pieces() -> AsyncIterator[bytes]:
            for piece in self.said:
                yield piece

        return StreamingResponse(pieces(), media_type="application/x-ndjson")


class FakeTracker(Fake):
    """Has one curve and one ledger for every job, or is unavailable."""

    def __init__(self) -> None:
        super().__init__("tracker")
        self.app.get("/jobs/{job_id}/metrics")(self.metrics)
        self.app.get("/jobs/{job_id}/costs")(self.cost_records)
        self.app.get("/jobs/{job_id}/events")(self.events)
        self.app.get("/jobs/{job_id}/checkpoints")(self.checkpoints)
        self.app.get("/costs")(self.costs)
        self.app.get("/costs/groups")(self.cost_groups)
        self.app.get("/costs/records")(self.all_costs)

    def reset(self) -> None:
        super().reset()
        self.spent: list[dict[str, str]] = []
        self.ledger: list[dict[str, Any]] = []
        self.unavailable = False
        self.knows_job = True
        self.points: list[dict[str, Any]] = [{"step": 1, "training_loss": 2.5}]
        self.entries: list[dict[str, Any]] = [
            {
                "id": 8,
                "type": "queued",
                "level": "info",
                "message": "Queued.",
                "data": {},
                "occurred_at": "2026-11-24T12:00:00Z",
            }
        ]
        self.saved: list[dict[str, Any]] = []

    def remember(self, request: Request) -> None:
        super().remember(request)
        if self.unavailable:
            raise Unavailable
        if not self.knows_job:
            raise NotFound

    async def metrics(self, job_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        self.remember(request)
        first, last = (int(request.query_params.get(name, end)) for name, end in (("from", 0), ("to", 2**53)))
        return Envelope(data={"points": [point for point in self.points if first <= point["step"] <= last]})

    async def cost_records(self, job_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        self.remember(request)
        return Envelope(data={"cost_records": [{"cost_type": "compute", "amount": "0.0972"}]})

    async def events(
        self,
        job_id: UUID,
        request: Request,
        caller: CallerOf,
        *,
        after: int | None = None,
        limit: int = 100,
        order: str = "asc",
    ) -> Envelope[Any]:
        self.remember(request)
        entries = self.entries if order == "asc" else self.entries[::-1]
        ids = [entry["id"] for entry in entries]
        start = ids.index(after) + 1 if after in ids else 0
        return Envelope(data={"events": entries[start : start + limit]})

    async def checkpoints(
        self,
        job_id: UUID,
        request: Request,
        caller: CallerOf,
        *,
        after: str | None = None,
        limit: int = 100,
        step: int | None = None,
    ) -> Envelope[Any]:
        self.remember(request)
        found = [checkpoint for checkpoint in self.saved if step in (None, checkpoint["step"])]
        ids = [checkpoint["id"] for checkpoint in found]
        start = ids.index(after) + 1 if after in ids else 0
        return Envelope(data={"checkpoints": found[start : start + limit]})

    async def costs(self, request: Request, caller: CallerOf) -> Envelope[Any]:
        self.remember(request)
        return Envelope(
            data={
                "total_cost": 0.5972,
                "cost_by_type": {"compute": "0.0972", "storage": "0.5000"},
                "chart_data": [{"date": "2026-11-24", "amount": "0.5972"}],
                "records": [{"cost_type": "compute", "amount": "0.0972"}],
                "truncated": False,
            }
        )

    async def cost_groups(self, request: Request, caller: CallerOf) -> Envelope[Any]:
        self.remember(request)
        return Envelope(data={"groups": self.spent})

    async def all_costs(self, request: Request, caller: CallerOf, after_id: str | None = None) -> Envelope[Any]:
        """Two records a page."""
        self.remember(request)
        ids = [record["id"] for record in self.ledger]
        start = ids.index(after_id) + 1 if after_id else 0
        page = self.ledger[start : start + 2]
        return Envelope(data={"records": page, "next": page[-1] if len(page) == 2 else None})


class FakeNotifier(Fake):
    """Holds one unread notification for everybody, and webhooks and more notifications, each with its owner."""

    def __init__(self) -> None:
        super().__init__("notifier")
        self.app.get("/notifications")(self.list_notifications)
        self.app.patch("/notifications/{notification_id}/read")(self.read)
        self.app.post("/notifications/read-all")(self.read_all)
        self.app.get("/webhooks")(self.list_webhooks)
        self.app.post("/webhooks", status_code=201)(self.create_webhook)
        self.app.get("/webhooks/{webhook_id}")(self.get_webhook)
        self.app.patch("/webhooks/{webhook_id}")(self.change_webhook)
        self.app.delete("/webhooks/{webhook_id}")(self.delete_webhook)
        self.app.post("/webhooks/{webhook_id}/rotate")(self.rotate_secret)
        self.app.post("/webhooks/{webhook_id}/test")(self.try_webhook)
        self.app.get("/webhooks/{webhook_id}/deliveries")(self.list_deliveries)
        self.app.post("/webhooks/{webhook_id}/deliveries/{delivery_id}/replay")(self.replay)

    def reset(self) -> None:
        super().reset()
        self.webhooks: dict[UUID, tuple[UUID, dict[str, Any]]] = {}
        self.notifications: dict[UUID, UUID] = {}
        self.bodies: list[Any] = []
        self.answers_tests: int | None = 200

    async def list_notifications(self, request: Request, caller: CallerOf) -> Envelope[Any]:
        self.remember(request)
        return Envelope(data={"notifications": [{"type": "job_queued", "read": False}], "unread_count": 1})

    def hold_notification(self, owner: UUID) -> UUID:
        """A notification that `owner` got."""
        notification_id = new_id()
        self.notifications[notification_id] = owner
        return notification_id

    async def read(self, notification_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        self.remember(request)
        if self.notifications.get(notification_id) != caller.user:
            raise NotFound
        return Envelope(data=None)

    async def read_all(self, request: Request, caller: CallerOf) -> Envelope[Any]:
        self.remember(request)
        return Envelope(data=None)

    async def hear(self, request: Request) -> Any:
        self.remember(request)
        self.bodies.append(await request.json())
        return self.bodies[-1]

    def owned(self, webhook_id: UUID, caller: CallerOf) -> dict[str, Any]:
        owner, webhook = self.webhooks.get(webhook_id, (None, {}))
        if owner != caller.user:
            raise NotFound
        return webhook

    async def list_webhooks(self, caller: CallerOf) -> Envelope[Any]:
        mine = [webhook for owner, webhook in self.webhooks.values() if owner == caller.user]
        return Envelope(data={"webhooks": mine[::-1]})

    async def create_webhook(self, request: Request, caller: CallerOf) -> Envelope[Any]:
        webhook = {
            "id": str(new_id()),
            "enabled": True,
            "secret_hint": "abcd",
            "created_at": "2026-11-24T12:00:00Z",
            "updated_at": "2026-11-24T12:00:00Z",
        } | await self.hear(request)
        self.webhooks[UUID(webhook["id"])] = caller.user, webhook
        return Envelope(data=webhook | {"secret": "whsec_first_abcd"})

    async def get_webhook(self, webhook_id: UUID, caller: CallerOf) -> Envelope[Any]:
        return Envelope(data=self.owned(webhook_id, caller))

    async def change_webhook(self, webhook_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        webhook = self.owned(webhook_id, caller)
        webhook |= await self.hear(request)
        return Envelope(data=webhook)

    async def delete_webhook(self, webhook_id: UUID, caller: CallerOf) -> Envelope[Any]:
        self.owned(webhook_id, caller)
        del self.webhooks[webhook_id]
        return Envelope(data=None)

    async def rotate_secret(self, webhook_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        webhook = self.owned(webhook_id, caller)
        await self.hear(request)
        return Envelope(data=webhook | {"secret": "whsec_second_abcd"})

    async def try_webhook(self, webhook_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        self.owned(webhook_id, caller)
        body = await self.hear(request)
        error = None if self.answers_tests else "no connection"
        return Envelope(data=body | {"status_code": self.answers_tests, "duration_ms": 12, "error": error})

    async def list_deliveries(self, webhook_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        self.owned(webhook_id, caller)
        self.remember(request)
        return Envelope(data={"deliveries": [self.delivery()], "pagination": PAGINATION})

    async def replay(self, webhook_id: UUID, delivery_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        self.owned(webhook_id, caller)
        self.remember(request)
        return Envelope(data=self.delivery() | {"id": str(delivery_id)})

    def delivery(self) -> dict[str, Any]:
        return {
            "id": str(UUID(int=7)),
            "event_id": "evt_7",
            "event_type": "fine_tuning.job.trained",
            "status": "pending",
            "attempts": [
                {
                    "number": 1,
                    "at": "2026-11-24T12:00:00Z",
                    "status_code": 500,
                    "duration_ms": 9,
                    "error": "answered 500",
                }
            ],
            "next_attempt_at": "2026-11-24T12:00:05Z",
            "created_at": "2026-11-24T12:00:00Z",
        }


class FakeScheduler(Fake):
    """Has one cluster, queue positions of jobs, and what admins have decided; or is unavailable."""

    def __init__(self) -> None:
        super().__init__("scheduler")
        self.app.get("/jobs/{job_id}/queue")(self.queue_place)
        self.app.get("/clusters")(self.list_capacity)
        self.app.get("/admin/clusters")(self.list_clusters)
        self.app.post("/admin/clusters/{name}/drain")(self.drain)
        self.app.post("/admin/clusters/{name}/undrain")(self.undrain)
        self.app.get("/admin/users/{user_id}/share")(self.get_share)
        self.app.put("/admin/users/{user_id}/share")(self.set_share)
        self.app.put("/admin/jobs/{job_id}/priority")(self.set_priority)

    def reset(self) -> None:
        super().reset()
        self.unavailable = False
        self.places: dict[UUID, tuple[UUID, dict[str, Any]]] = {}
        self.clusters = {"tiny": self.cluster("tiny")}
        self.shares: dict[UUID, dict[str, Any]] = {}
        self.priorities: dict[UUID, str] = {}
        self.capacity: list[dict[str, Any]] = []

    def remember(self, request: Request) -> None:
        super().remember(request)
        if self.unavailable:
            raise Unavailable

    def cluster(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "url": "http://cluster",
            "executor": "local",
            "simulated": False,
            "gpus": [{"types": ["CPU"], "total": 2, "free": 1}],
            "answered_at": "2026-11-24T12:00:00Z",
            "problem": None,
            "drained_at": None,
            "submitting": 0,
            "running": 1,
        }

    def hold_job(self, owner: UUID, job_id: UUID, **place: Any) -> None:
        """A job of `owner`'s that waits at a place."""
        self.places[job_id] = owner, place

    async def queue_place(self, job_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        self.remember(request)
        owner, place = self.places.get(job_id, (None, {}))
        if owner != caller.user:
            raise NotFound
        return Envelope(data=place)

    async def list_capacity(self, caller: CallerOf) -> Envelope[Any]:
        if self.unavailable:
            raise Unavailable
        return Envelope(data=self.capacity)

    async def list_clusters(self, request: Request, _: CallerOf) -> Envelope[Any]:
        self.remember(request)
        return Envelope(data=list(self.clusters.values()))

    async def drain(self, name: str, caller: CallerOf) -> Envelope[Any]:
        return self.change_cluster(name, "2026-11-24T12:00:00Z")

    async def undrain(self, name: str, caller: CallerOf) -> Envelope[Any]:
        return self.change_cluster(name, None)

    def change_cluster(self, name: str, drained_at: str | None) -> Envelope[Any]:
        if name not in self.clusters:
            raise NotFound
        self.clusters[name]["drained_at"] = drained_at
        return Envelope(data="drained" if drained_at else "undrained")

    async def get_share(self, user_id: UUID, caller: CallerOf) -> Envelope[Any]:
        new = {"user_id": str(user_id), "weight": 1.0, "quota_gpus": None, "gpus": 0}
        return Envelope(data=new | self.shares.get(user_id, {}))

    async def set_share(self, user_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        self.shares[user_id] = await request.json()
        return await self.get_share(user_id, caller)

    async def set_priority(self, job_id: UUID, request: Request, caller: CallerOf) -> Envelope[Any]:
        if job_id not in self.places:
            raise NotFound
        self.priorities[job_id] = (await request.json())["priority"]
        return Envelope(data="set")


class Fakes(NamedTuple):
    """All peer services."""

    artifacts: FakeArtifacts
    tracker: FakeTracker
    notifier: FakeNotifier
    scheduler: FakeScheduler
