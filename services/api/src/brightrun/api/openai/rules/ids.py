"""OpenAI's identifiers: a prefix that tells the kind, then the UUID without hyphens."""

import re
from uuid import UUID

FILE = "file-"
RESULTS = "file-results-"
"""Of a file that is made from what a job measured; the UUID is the job's."""
JOB = "ftjob-"
EVENT = "ftevent-"
CHECKPOINT = "ftckpt-"
UPLOAD = "upload_"
PART = "part_"
WEBHOOK = "we_"
ORGANIZATION = "org-"
FINE_TUNED = "ft:"
_HEX = re.compile("[0-9a-f]{32}")
_CHECKPOINT = re.compile(CHECKPOINT + "[0-9a-f]{32}-([0-9]{1,9}-[0-9]{1,18})")
_ENTRY = re.compile("[0-9]{1,18}")


def write(prefix: str, value: UUID | str) -> str:
    """The identifier of one of our objects."""
    return prefix + (value if isinstance(value, UUID) else UUID(value)).hex


def read(prefix: str, text: str) -> UUID | None:
    """Which of our objects it means; None if it is no identifier of that kind."""
    rest = text.removeprefix(prefix)
    return UUID(hex=rest) if rest != text and _HEX.fullmatch(rest) else None


def read_event(text: str) -> int | None:
    """Which entry of a job's log it means."""
    rest = text.removeprefix(EVENT)
    return int(rest) if rest != text and _ENTRY.fullmatch(rest) else None


def write_checkpoint(job_id: UUID, checkpoint: str) -> str:
    """The identifier of a job's checkpoint, from the tracker's own, which is `<attempt>-<step>`."""
    return f"{write(CHECKPOINT, job_id)}-{checkpoint}"


def read_checkpoint(text: str) -> str | None:
    """What the tracker calls the checkpoint."""
    found = _CHECKPOINT.fullmatch(text)
    return found[1] if found else None


def name_model(base: str, suffix: str | None, artifact_id: UUID) -> str:
    """What a fine-tuned model is called: `ft:<base>:<organisation>:<suffix>:<id>`."""
    slug = re.sub("[^a-z0-9]+", "-", (suffix or "").lower()).strip("-")
    return f"{FINE_TUNED}{base}:personal:{slug}:{artifact_id.hex}"


def read_model(name: str) -> UUID | None:
    """Which artifact a fine-tuned model is; None if the name is not one of a fine-tuned model."""
    last = name.rpartition(":")[2]
    return UUID(hex=last) if name.startswith(FINE_TUNED) and _HEX.fullmatch(last) else None
