"""Where objects lie in the store, how large they may be, and how long clusters may fetch them."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from brightrun.contracts.artifacts import MAX_PART_BYTES

DATASETS = "lora-datasets"
MODELS = "lora-models"
MAX_FILE_BYTES = 40 * 1024**3
CLUSTER_URL_LIFETIME = timedelta(hours=24)
"""How long a URL for a cluster is valid."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large the body of an upload may be, in bytes."""

    dataset_bytes: int = 5 * 1024**3
    part_bytes: int = MAX_PART_BYTES


def dataset_key(user_id: UUID, dataset_id: UUID) -> str:
    """Where a data set lies in its bucket."""
    return f"{user_id}/{dataset_id}/data.jsonl"


def examples_key(user_id: UUID, dataset_id: UUID, fence: int) -> str:
    """Where the examples of a data set lie that were converted for trainers, by the fence of their validation."""
    return f"{user_id}/{dataset_id}/examples-{fence}.jsonl"


def dataset_prefix(user_id: UUID, dataset_id: UUID) -> str:
    """What the keys of all objects of a data set begin with."""
    return f"{user_id}/{dataset_id}/"


def model_prefix(user_id: UUID, model_id: UUID) -> str:
    """What the keys of all objects of a model begin with."""
    return f"{user_id}/{model_id}/"


def upload_prefix(user_id: UUID, upload_id: UUID) -> str:
    """What the keys of all parts of an upload begin with, in the bucket of the data sets."""
    return f"{user_id}/uploads/{upload_id}/"


def part_key(user_id: UUID, upload_id: UUID, part_id: UUID) -> str:
    """Where a part of an upload lies until the upload is over."""
    return upload_prefix(user_id, upload_id) + str(part_id)


def model_key(user_id: UUID, model_id: UUID, name: str) -> str:
    """Where a model's file lies in its bucket."""
    return f"{user_id}/{model_id}/{name}"
