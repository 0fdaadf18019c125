"""What the trainer prints: one JSON object a line on standard output, read by the cluster service."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from brightrun.contracts.training import JobError, MetricPoint
from brightrun.contracts.values import Value


class StageReport(Value):
    """The run entered a stage; `stage` is an open set: loading, tokenizing, training, evaluating, saving."""

    kind: Literal["stage"] = "stage"
    stage: str
    message: str = ""


class PlanReport(Value):
    """How long the training is, known once the data is tokenized."""

    kind: Literal["plan"] = "plan"
    total_steps: int
    total_epochs: float
    examples: int
    validation_examples: int = 0


class PointsReport(Value):
    """A batch of metric points; counters are totals since the run's first step, over restarts as well."""

    kind: Literal["points"] = "points"
    points: tuple[MetricPoint, ...]
    trained_tokens: int = 0
    eta_seconds: float | None = None


class CheckpointReport(Value):
    """A checkpoint is complete on disk. `path` is relative to the run's folder; saving it took `seconds`."""

    kind: Literal["checkpoint"] = "checkpoint"
    step: int
    path: str
    seconds: float | None = None


class FinishedReport(Value):
    """The last line of a run that ended well.

    `stopped` means that it was asked to stop and saved a checkpoint first. `files` are names in the run's
    `adapter/` folder; `metadata` goes into the artifact's manifest, with `stopped_early` if it was asked to finish
    before its planned end.
    """

    kind: Literal["finished"] = "finished"
    outcome: Literal["completed", "stopped"]
    trained_tokens: int
    files: tuple[str, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)


class FailedReport(Value):
    """The last line of a run that cannot go on."""

    kind: Literal["failed"] = "failed"
    error: JobError


Report = Annotated[
    StageReport | PlanReport | PointsReport | CheckpointReport | FinishedReport | FailedReport,
    Field(discriminator="kind"),
]
REPORT: TypeAdapter[Report] = TypeAdapter(Report)
