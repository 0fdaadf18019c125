"""Which files and metadata of a cluster are accepted, the manifest, and when a transfer is retried."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from brightrun.artifacts.models.models import Comparison, Model, ModelReport
from brightrun.cluster_client.responses import ABSENT, ClusterError
from brightrun.contracts.cluster_api import RunArtifacts
from brightrun.contracts.events import ADAPTER_FILES, ArtifactFile

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
MAX_FILES = 1000
MAX_NAME_LENGTH = 200
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
MAX_PAUSE = timedelta(minutes=10)


class UnusableFiles(ValueError):
    """The files that the cluster offers cannot be stored."""


def check_files(artifacts: RunArtifacts) -> None:
    """Raises UnusableFiles for missing files, and for names that are not a plain relative path.

    Rejected are `..`, absolute and hidden names, NUL, backslash, look-alike letters, and long names.
    """
    names = artifacts.download_urls.keys()
    if not names:
        raise UnusableFiles("the cluster offers no files")
    if len(names) > MAX_FILES:
        raise UnusableFiles(f"the cluster offers {len(names)} files; {MAX_FILES} is the most")
    for name in names:
        if name == MANIFEST or len(name) > MAX_NAME_LENGTH or not SAFE_NAME.fullmatch(name):
            raise UnusableFiles(f"the cluster offers a file with an unsafe name: {name[:MAX_NAME_LENGTH]!a}")
    if missing := {file.name for file in artifacts.files} - names:
        raise UnusableFiles(f"the cluster announces files without an address: {len(missing)}")


def adapter_of(artifacts: RunArtifacts) -> RunArtifacts:
    """The files that hold the adapter, without others that a checkpoint has. Raises UnusableFiles if one is missing."""
    if missing := sorted(ADAPTER_FILES - artifacts.download_urls.keys()):
        raise UnusableFiles(f"the checkpoint has no {missing[0]}")
    return artifacts.model_copy(
        update={
            "download_urls": {name: artifacts.download_urls[name] for name in ADAPTER_FILES},
            "files": tuple(file for file in artifacts.files if file.name in ADAPTER_FILES),
        }
    )


def can_retry(error: Exception) -> bool:
    """Whether a transfer may succeed later: not if the cluster has the files no more."""
    return not (isinstance(error, ClusterError) and error.status in ABSENT)


def retry_pause(tries: int, first: timedelta) -> timedelta:
    """How long to wait after the `tries`-th try failed: `first`, then twice as long each time, 10 minutes at most."""
    return min(first * (1 << min(tries - 1, 20)), MAX_PAUSE)


def write_manifest(model: Model, files: Sequence[ArtifactFile], metadata: Mapping[str, Any]) -> bytes:
    """The manifest as JSON.

    `training` is what the trainer says of itself: the base model's revision, the chat template's digest, versions of
    its libraries, the comparison on held-out examples. `stopped_by`: the limit that ended it early, if one did.
    `start`: the artifact whose adapter it went on with, and the files that hold it. `checkpoint`: which of the job's
    checkpoints it is a copy of, if it is one.
    """
    content = {
        "manifest_version": MANIFEST_VERSION,
        "artifact_id": model.id,
        "job_id": model.job_id,
        "name": model.name,
        "version": model.version,
        "base_model": {
            "name": model.spec.base_model,
            "revision": metadata.get("revision", model.spec.base_model_revision),
        },
        "spec": model.spec,
        "gpu": model.gpu,
        "dataset": model.dataset,
        "validation": model.validation,
        "start": model.start,
        "files": files,
        "stopped_by": model.stopped_by,
        "checkpoint": {"attempt": model.attempt, "step": model.step} if model.step is not None else None,
        "training": metadata,
    }
    return to_json(content, indent=2, inf_nan_mode="null") + b"\n"


def read_comparison(metadata: Mapping[str, Any]) -> Comparison | None:
    """The measured comparison of base model and adapter; None where the cluster made none."""
    try:
        return Comparison.model_validate(metadata.get("comparison"))
    except ValidationError:
        return None


def read_report(metadata: Mapping[str, Any]) -> ModelReport:
    """The report on a model."""
    fields = {"base_revision": metadata.get("revision")}
    fields |= {name: metadata.get(name) for name in ("chat_template", "versions", "serving", "samples", "notes")}
    fields = {name: _without_nul(value) for name, value in fields.items() if value is not None}
    return ModelReport.model_validate({name: value for name, value in fields.items() if _is_valid(name, value)})


def _is_valid(name: str, value: Any) -> bool:
    try:
        ModelReport.model_validate({name: value})
    except ValidationError:
        return False
    return True


def _without_nul(value: Any) -> Any:
    """PostgreSQL stores no NUL."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value
