"""Models as jobs need them."""

from dataclasses import dataclass
from uuid import UUID

from brightrun.contracts.events import ArtifactFile
from brightrun.contracts.training import TrainingSpec


@dataclass(frozen=True, slots=True)
class StartingModel:
    """A model to start a training from. `files` are those of its adapter; none unless it is stored."""

    id: UUID
    job_id: UUID
    name: str
    status: str
    spec: TrainingSpec
    files: tuple[ArtifactFile, ...]
