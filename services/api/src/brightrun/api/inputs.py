"""What orders name, as its owners tell of it."""

from dataclasses import dataclass
from uuid import UUID

from brightrun.api.models import Dataset
from brightrun.contracts.events import ArtifactFile
from brightrun.contracts.training import TrainingSpec


@dataclass(frozen=True, slots=True)
class EarlierModel:
    """A model that a training may start from. `files` are those of its adapter; none unless it is stored."""

    id: UUID
    job_id: UUID
    name: str
    status: str
    spec: TrainingSpec
    files: tuple[ArtifactFile, ...]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a training is given: what to train on, what to evaluate on, and the model to start from."""

    dataset: Dataset
    validation: Dataset | None = None
    start: EarlierModel | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What the artifacts service says of what an order names; None of what is not there."""

    dataset: Dataset | None
    validation: Dataset | None = None
    start: EarlierModel | None = None
