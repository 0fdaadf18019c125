"""OpenAI's identifiers: a prefix for the type, then the UUID without hyphens."""

import re
from uuid import UUID

from brightrun.contracts import public_ids
from brightrun.contracts.errors import ServiceError

FILE = public_ids.FILE
RESULTS = "file-results-"
"""A results file; the UUID is its job's."""
JOB = public_ids.JOB
EVENT = "ftevent-"
CHECKPOINT = "ftckpt-"
UPLOAD = "upload_"
PART = "part_"
WEBHOOK = "we_"
ORGANIZATION = "org-"
FINE_TUNED = "ft:"
write = public_ids.write_id
_HEX = re.compile("[0-9a-f]{32}")
_CHECKPOINT = re.compile(CHECKPOINT + "[0-9a-f]{32}-([0-9]{1,9}-[0-9]{1,18})")
_CHECKPOINT_MODEL = re.compile(FINE_TUNED + ".*:([0-9a-f]{32}):ckpt-step-([0-9]{1,15})", re.DOTALL)
_ENTRY = re.compile("[0-9]{1,18}")


def read(prefix: str, text: str) -> UUID | None:
    """The object of an identifier; None if it has another type."""
    rest = text.removeprefix(prefix)
    return UUID(hex=rest) if rest != text and _HEX.fullmatch(rest) else None


def require(prefix: str, text: str, error: type[ServiceError]) -> UUID:
    """The object of an identifier. Raises `error` if it has another type."""
    if (found := read(prefix, text)) is None:
        raise error
    return found


def read_event(text: str) -> int | None:
    """The log entry of an identifier."""
    rest = text.removeprefix(EVENT)
    return int(rest) if rest != text and _ENTRY.fullmatch(rest) else None


def write_checkpoint(job_id: UUID, checkpoint: str) -> str:
    """The identifier of a checkpoint, which the tracker calls `<attempt>-<step>`."""
    return f"{write(CHECKPOINT, job_id)}-{checkpoint}"


def read_checkpoint(text: str) -> str | None:
    """The tracker's name of a checkpoint."""
    found = _CHECKPOINT.fullmatch(text)
    return found[1] if found else None


def name_model(base: str, suffix: str | None, artifact_id: UUID) -> str:
    """The name of a fine-tuned model: `ft:<base>:<organisation>:<suffix>:<id>`."""
    slug = re.sub("[^a-z0-9]+", "-", (suffix or "").lower()).strip("-")
    return f"{FINE_TUNED}{base}:personal:{slug}:{artifact_id.hex}"


def read_model(name: str) -> UUID | None:
    """The artifact of a fine-tuned model's name; None for other names."""
    last = name.rpartition(":")[2]
    return UUID(hex=last) if name.startswith(FINE_TUNED) and _HEX.fullmatch(last) else None


def name_checkpoint(model: str, step: int) -> str:
    """The name of a checkpoint of the training that a model is of."""
    return f"{model}:ckpt-step-{step}"


def read_checkpoint_model(name: str) -> tuple[UUID, int] | None:
    """The artifact, or the job, of a checkpoint's name, and the step; None for other names."""
    found = _CHECKPOINT_MODEL.fullmatch(name)
    return (UUID(hex=found[1]), int(found[2])) if found else None
