"""Files: data sets, and results of jobs."""

import heapq
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any, Literal
from uuid import UUID

from brightrun.api.datasets.models import READY, UNCHECKED
from brightrun.api.errors import Invalid, Unsupported
from brightrun.api.openai import ids

FINE_TUNE = "fine-tune"
RESULTS = "fine-tune-results"
RESULTS_NAME = "step_metrics.csv"
MAX_NAME_LENGTH = 200
SortOrder = Literal["asc", "desc"]
FileStatus = Literal["uploaded", "processed", "error"]
NO_EXPIRY = "files do not expire here: delete them when they are of no use any more"
_COLUMNS = {
    "step": "step",
    "train_loss": "training_loss",
    "train_accuracy": "token_accuracy",
    "valid_loss": "validation_loss",
    "valid_mean_token_accuracy": "validation_token_accuracy",
}
"""Column of a results file → name of the metric."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of the dialect; `size` in bytes."""

    id: str
    size: int
    created_at: datetime
    filename: str
    purpose: str
    status: FileStatus
    status_details: str | None = None

    @property
    def order(self) -> tuple[datetime, str]:
        """Its sort key among the files of its owner."""
        return self.created_at, self.id


def of_dataset(dataset: dict[str, Any]) -> File:
    """The file of a data set."""
    return File(
        id=ids.write(ids.FILE, dataset["id"]),
        size=dataset["size_bytes"],
        created_at=datetime.fromisoformat(dataset["created_at"]),
        filename=dataset["name"],
        purpose=FINE_TUNE,
        status=_status(dataset["status"]),
        status_details=_explain(dataset),
    )


def of_results(job_id: UUID, finished_at: datetime, size: int) -> File:
    """The results file of a job."""
    return File(ids.write(ids.RESULTS, job_id), size, finished_at, RESULTS_NAME, RESULTS, "processed")


def merge(datasets: Sequence[File], results: Sequence[File], order: SortOrder, limit: int) -> list[File]:
    """The first `limit` of both; each is sorted by `order`."""
    merged = heapq.merge(datasets, results, key=lambda file: file.order, reverse=order == "desc")
    return [file for file, _ in zip(merged, range(limit), strict=False)]


def check_fields(fields: Mapping[str, str], *, complete: bool, has_file: bool) -> None:
    """Check the fields of an upload's form; further fields may follow if it is not `complete`."""
    if expiring := [name for name in fields if name.startswith("expires_after")]:
        raise Unsupported({expiring[0]: [NO_EXPIRY]})
    problems = {name: ["unknown field"] for name in fields if name != "purpose"}
    purpose = fields.get("purpose")
    if purpose is not None:
        problems |= check_purpose(purpose)
    elif complete:
        problems["purpose"] = ["Field required"]
    if complete and not has_file:
        problems["file"] = ["Field required"]
    if problems:
        raise Invalid(problems)


def check_purpose(purpose: str) -> dict[str, list[str]]:
    """The problems of a file's purpose."""
    if purpose == FINE_TUNE:
        return {}
    return {"purpose": [f"{purpose[:40]!a} is not supported: files are for {FINE_TUNE} here"]}


def clean_name(filename: str) -> str:
    """The name of a data set that was uploaded as this file."""
    name = PurePath(re.sub(r"[\x00-\x1f\x7f]", "", filename).replace("\\", "/")).name[:MAX_NAME_LENGTH].strip()
    return name if name.strip(".") else "upload"


def header() -> str:
    """The header line of a results file."""
    return ",".join(_COLUMNS) + "\n"


def rows(points: Sequence[dict[str, Any]]) -> str:
    """Lines of a results file, one for each step; missing metrics are empty."""
    steps: dict[int, dict[str, Any]] = {}
    for point in points:
        measured = {name: value for name, value in point.items() if value is not None}
        steps.setdefault(point["step"], {}).update(measured)
    return "".join(",".join(_cell(step.get(name)) for name in _COLUMNS.values()) + "\n" for step in steps.values())


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)


def _status(status: str) -> FileStatus:
    if status in UNCHECKED:
        return "uploaded"
    return "processed" if status == READY else "error"


def _explain(dataset: dict[str, Any]) -> str | None:
    if _status(dataset["status"]) != "error":
        return None
    counts = ", ".join(f"{code} ({count})" for code, count in sorted(dataset["errors_by_code"].items()))
    where = f"/api/datasets/{dataset['id']}/errors"
    return f"The validation found errors: {counts}. {where} tells the line of each."
