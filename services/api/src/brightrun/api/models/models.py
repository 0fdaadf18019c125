"""What orders name, as its owners tell of it."""

from dataclasses import dataclass
from uuid import UUID

from brightrun.contracts.events import ArtifactFile
from brightrun.contracts.training import TrainingSpec


@dataclass(frozen=True, slots=True)
class StartingModel:
    """A model that a training may start from. `files` are those of its adapter; none unless it is stored."""

    id: UUID
    job_id: UUID
    name: str
    status: str
    spec: TrainingSpec
    files: tuple[ArtifactFile, ...]
