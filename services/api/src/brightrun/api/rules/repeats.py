"""The same job again: tried once more, or with changes."""

from typing import Any

from brightrun.api.models import Job, Order
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import TrainingSpec

RETRYABLE = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})
EITHER_OR = (("epochs", "max_steps"), ("warmup_ratio", "warmup_steps"), ("validation_split", "validation_dataset_id"))
"""Hyperparameters that exclude each other: whichever is changed takes the other's place."""


def retry(job: Job) -> Order:
    """The same order, at the prices of now."""
    return Order(
        dataset_id=job.dataset.dataset_id,
        preset_id=job.preset_id,
        gpu=job.gpu,
        hyperparameters=TrainingSpec.model_validate(job.submitted),
        name=job.name,
        suffix=job.suffix,
        metadata=job.metadata,
        retry_of=job.id,
    )


def merge(submitted: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The submitted hyperparameters with others over them; one that is changed to None is as if it was never given."""
    kept = dict(submitted)
    for one, other in (*EITHER_OR, *((other, one) for one, other in EITHER_OR)):
        if changes.get(one) is not None:
            kept.pop(other, None)
    return {name: value for name, value in (kept | changes).items() if value is not None}
