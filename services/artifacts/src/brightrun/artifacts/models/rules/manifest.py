"""The manifest of a model: written last, it makes the stored files a whole."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from brightrun.artifacts.models.models import Comparison, Model
from brightrun.contracts.events import ArtifactFile

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1


def write_manifest(model: Model, files: Sequence[ArtifactFile], metadata: Mapping[str, Any]) -> bytes:
    """The manifest as JSON.

    `training` is what the trainer says of itself: the base model's revision, the chat template's digest, versions of
    its libraries, the comparison on held-out examples. `stopped_by`: the limit that ended it early, if one did.
    `start`: the artifact whose adapter it went on with, and the files that hold it.
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
        "training": metadata,
    }
    return to_json(content, indent=2, inf_nan_mode="null") + b"\n"


def read_comparison(metadata: Mapping[str, Any]) -> Comparison | None:
    """The measured comparison of base model and adapter; None where the cluster made none."""
    try:
        return Comparison.model_validate(metadata.get("comparison"))
    except ValidationError:
        return None
