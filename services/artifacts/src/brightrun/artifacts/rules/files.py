"""Names: where objects lie in the store, and which file names a cluster may give."""

import re
from datetime import timedelta
from uuid import UUID

from brightrun.contracts.cluster_api import RunArtifacts

DATASETS = "lora-datasets"
MODELS = "lora-models"
MANIFEST = "manifest.json"
MAX_DATASET_BYTES = 5 * 1024**3
MAX_FILE_BYTES = 40 * 1024**3
MAX_FILES = 1000
MAX_NAME_LENGTH = 200
CLUSTER_URL_LIFETIME = timedelta(hours=24)
"""How long what a cluster fetches can be fetched; as in the original."""

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


class UnusableFiles(ValueError):
    """What the cluster offers cannot be stored."""


def dataset_key(user_id: UUID, dataset_id: UUID) -> str:
    """Where a data set lies in its bucket."""
    return f"{user_id}/{dataset_id}/data.jsonl"


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


def check_offer(offer: RunArtifacts) -> None:
    """Refuse incomplete offers, and names that are no plain relative path.

    Such are `..`, absolute and hidden ones, NUL, backslash, look-alike letters, and what is too long.
    """
    names = offer.download_urls.keys()
    if not names:
        raise UnusableFiles("the cluster offers no files")
    if len(names) > MAX_FILES:
        raise UnusableFiles(f"the cluster offers {len(names)} files; {MAX_FILES} is the most")
    for name in names:
        if name == MANIFEST or len(name) > MAX_NAME_LENGTH or not _SAFE_NAME.fullmatch(name):
            raise UnusableFiles(f"the cluster offers a file with an unsafe name: {name[:MAX_NAME_LENGTH]!a}")
    if missing := {file.name for file in offer.files} - names:
        raise UnusableFiles(f"the cluster announces files without an address: {len(missing)}")
