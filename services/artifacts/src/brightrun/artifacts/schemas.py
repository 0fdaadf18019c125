"""Bodies of the artifacts service's HTTP interface."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from brightrun.artifacts.models import Dataset, Issue, Model, QualityMetrics
from brightrun.contracts.events import ArtifactFile, DatasetRef
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import Money


class Page(BaseModel):
    """Which part of a list is asked for."""

    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    limit: Annotated[int, Field(ge=1, le=100)] = 20

    @property
    def offset(self) -> int:
        """How many entries come before this page."""
        return (self.page - 1) * self.limit

    def of(self, total: int) -> dict[str, int]:
        """The `pagination` of an answer."""
        return {"page": self.page, "limit": self.limit, "total": total, "totalPages": -(-total // self.limit)}


class DatasetView(BaseModel):
    """A data set as its owner sees it."""

    id: UUID
    name: str
    format: str
    status: str
    training_ready: bool
    total_training_pairs: int
    total_tokens: int
    tokens_estimated: bool = True
    size_bytes: int
    sha256: str
    error_count: int
    errors_by_code: dict[str, int]
    duplicates: int
    created_at: datetime
    validated_at: datetime | None

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """The view of a row."""
        return cls(
            id=dataset.id,
            name=dataset.name,
            format=dataset.format,
            status=dataset.status,
            training_ready=dataset.status == "ready",
            total_training_pairs=dataset.training_pairs,
            total_tokens=dataset.tokens,
            size_bytes=dataset.size,
            sha256=dataset.sha256,
            error_count=dataset.error_count,
            errors_by_code=dataset.errors_by_code,
            duplicates=dataset.duplicates,
            created_at=dataset.created_at,
            validated_at=dataset.validated_at,
        )


class Datasets(BaseModel):
    """A page of data sets."""

    datasets: list[DatasetView]
    pagination: dict[str, int]


class Errors(BaseModel):
    """A page of a data set's errors. `error_count` counts all; `pagination` those that are kept with their place."""

    errors: list[Issue]
    error_count: int
    errors_by_code: dict[str, int]
    pagination: dict[str, int]


class SignedUrl(BaseModel):
    """A URL that works without a key for `expires_in` seconds."""

    url: str
    expires_in: int


class TrainingSummary(BaseModel):
    """What the training took; costs are US dollars, storage included."""

    epochs_completed: float
    total_steps: int
    final_loss: float | None
    trained_tokens: int
    training_duration_hours: float
    total_cost: Money


class Configuration(BaseModel):
    """What the training was asked to do."""

    hyperparameters: TrainingSpec
    gpu_config: GpuConfig


class ModelView(BaseModel):
    """A model as its owner sees it. `problem`: why the last try to store it failed."""

    model_config = ConfigDict(protected_namespaces=())

    id: UUID
    job_id: UUID
    dataset_id: UUID
    dataset: DatasetRef
    name: str
    version: str
    status: str
    problem: str | None
    quality_metrics: QualityMetrics | None
    training_summary: TrainingSummary
    configuration: Configuration
    files: list[ArtifactFile]
    created_at: datetime

    @classmethod
    def of(cls, model: Model, files: Sequence[ArtifactFile]) -> Self:
        """The view of a row and its files."""
        return cls(
            id=model.id,
            job_id=model.job_id,
            dataset_id=model.dataset.dataset_id,
            dataset=model.dataset,
            name=model.name,
            version=model.version,
            status=model.status,
            problem=model.problem,
            quality_metrics=model.quality,
            training_summary=_summarize(model),
            configuration=Configuration(hyperparameters=model.spec, gpu_config=model.gpu),
            files=list(files),
            created_at=model.created_at,
        )


def _summarize(model: Model) -> TrainingSummary:
    return TrainingSummary(
        epochs_completed=model.curve.last_epoch if model.curve else 0.0,
        total_steps=model.curve.last_step if model.curve else 0,
        final_loss=model.curve.last_training_loss if model.curve else None,
        trained_tokens=model.trained_tokens,
        training_duration_hours=(model.finished_at - model.started_at).total_seconds() / 3600,
        total_cost=model.cost,
    )


class Models(BaseModel):
    """A page of models."""

    models: list[ModelView]
    pagination: dict[str, int]


class Download(BaseModel):
    """Which files are wanted; all when none is named."""

    model_config = ConfigDict(extra="forbid")

    files: Annotated[list[str], Field(max_length=1000)] | None = None


class Downloads(BaseModel):
    """Where each file can be fetched from, for `expires_in` seconds."""

    download_urls: dict[str, str]
    expires_in: int
