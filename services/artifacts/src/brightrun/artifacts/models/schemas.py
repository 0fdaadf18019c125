"""Bodies of models."""

from collections.abc import Sequence
from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from brightrun.artifacts.keys import model_key
from brightrun.artifacts.models.models import Model, ModelReport, QualityMetrics
from brightrun.contracts.events import ArtifactFile, DatasetRef
from brightrun.contracts.pagination import Pagination
from brightrun.contracts.training import GpuConfig, TrainingSpecView
from brightrun.contracts.values import Number


class TrainingSummary(BaseModel):
    """What the training took, without pauses; costs are US dollars, storage included.

    `stopped_by`: the limit that ended it before its planned end, `budget` or `duration`.
    """

    epochs_completed: float
    total_steps: int
    final_loss: float | None
    trained_tokens: int
    training_duration_hours: float
    total_cost: Number
    stopped_by: str | None = None


class Configuration(BaseModel):
    """What the training was asked to do."""

    hyperparameters: TrainingSpecView
    gpu_config: GpuConfig


class Parent(BaseModel):
    """The model whose adapter a training went on with, by the name that it had then."""

    model_config = ConfigDict(protected_namespaces=())

    model_id: UUID
    name: str


class CheckpointOf(BaseModel):
    """Which checkpoint of its job a model is a copy of."""

    attempt: int
    step: int


class ModelView(BaseModel):
    """A model as its owner sees it. `problem`: why the last try to store it failed. `artifacts`: keys in the store.

    A copy of a `checkpoint` has no summary and no quality: its training went on.
    """

    model_config = ConfigDict(protected_namespaces=())

    id: UUID
    user_id: UUID
    job_id: UUID
    dataset_id: UUID
    dataset: DatasetRef
    validation: DatasetRef | None
    start: Parent | None
    name: str
    version: str
    status: str
    problem: str | None
    quality_metrics: QualityMetrics | None
    training_summary: TrainingSummary | None
    checkpoint: CheckpointOf | None
    configuration: Configuration
    files: list[ArtifactFile]
    artifacts: dict[str, str]
    created_at: datetime

    @classmethod
    def of(cls, model: Model, files: Sequence[ArtifactFile]) -> Self:
        """The view of a row and its files."""
        return cls(
            id=model.id,
            user_id=model.user_id,
            job_id=model.job_id,
            dataset_id=model.dataset.dataset_id,
            dataset=model.dataset,
            validation=model.validation,
            start=Parent(model_id=model.start.artifact_id, name=model.start.name) if model.start else None,
            name=model.name,
            version=model.version,
            status=model.status,
            problem=model.problem,
            quality_metrics=model.quality,
            training_summary=_summarize(model) if model.step is None else None,
            checkpoint=_checkpoint(model),
            configuration=Configuration(hyperparameters=TrainingSpecView.of(model.spec), gpu_config=model.gpu),
            files=list(files),
            artifacts={file.name: model_key(model.user_id, model.id, file.name) for file in files},
            created_at=model.created_at,
        )


class ModelDetail(ModelView):
    """A model with what its cluster told of it: provenance, what serves it, and sample answers."""

    report: ModelReport


def _checkpoint(model: Model) -> CheckpointOf | None:
    if model.attempt is None or model.step is None:
        return None
    return CheckpointOf(attempt=model.attempt, step=model.step)


def _summarize(model: Model) -> TrainingSummary:
    return TrainingSummary(
        epochs_completed=model.curve.last_epoch if model.curve else 0.0,
        total_steps=model.curve.last_step if model.curve else 0,
        final_loss=model.curve.last_training_loss if model.curve else None,
        trained_tokens=model.trained_tokens,
        training_duration_hours=model.trained_seconds / 3600,
        total_cost=model.cost,
        stopped_by=model.stopped_by,
    )


class Models(BaseModel):
    """A page of models."""

    models: list[ModelView]
    pagination: Pagination
