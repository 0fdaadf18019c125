"""Why a training failed: messages and codes that a user can act on."""

import errno

from pydantic import ValidationError

from brightrun.contracts.training import JobError

GPU_ERRORS = ("CUDA error", "CUDA driver", "cuDNN error", "NCCL error", "ncclRemoteError", "Gloo connect")
LOSS_NOT_FINITE = (
    "loss_not_finite",
    "The training diverged: its loss or its adapter is not a finite number any more.",
    "Lower learning_rate or max_grad_norm, add warm-up, or look for broken examples.",
)


class TrainingFailure(Exception):
    """A known cause: `code` is stable, `advice` says what the user can do."""

    def __init__(self, code: str, message: str, advice: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.error = JobError(code=code, message=message, advice=advice, retryable=retryable)


class UnreadableData(TrainingFailure):
    """A line of the data set is not an example that can be trained on."""

    def __init__(self, message: str) -> None:
        super().__init__("data_unreadable", message, "Correct the data set and submit the job again.")


def base_model_missing(name: str, cause: str) -> TrainingFailure:
    return TrainingFailure(
        "base_model_missing",
        f"The base model {name} is not available on this cluster: {cause}.",
        "Check the name and revision, or ask the operator to put the model there.",
    )


def explain(error: BaseException) -> JobError:
    """The error as the user sees it: the nearest known cause in its chain."""
    cause: BaseException | None = error
    while cause is not None:
        if known := _known(cause):
            return known
        cause = cause.__cause__ or cause.__context__
    return JobError(
        code="trainer_error",
        message=f"The trainer failed unexpectedly: {type(error).__name__}: {_shortened(error)}",
        advice="Try again; if it happens once more, give the run's log to the operator.",
        retryable=True,
    )


def is_out_of_memory(error: BaseException) -> bool:
    # PyTorch's own type is not imported: this module also serves before PyTorch is loaded.
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "can't allocate" in str(error)


def out_of_memory(error: BaseException) -> JobError:
    """An out-of-memory error, with advice that holds for every model."""
    return JobError(
        code="out_of_memory",
        message=f"The training does not fit into memory: {_shortened(error)}",
        advice="Halve batch_size and double gradient_accumulation, or lower max_length or rank.",
    )


def invalid_fields(error: ValidationError) -> str:
    """The paths of the fields that are not valid, separated by commas."""
    return ", ".join(".".join(map(str, item["loc"])) or item["msg"] for item in error.errors())


def _known(error: BaseException) -> JobError | None:
    if isinstance(error, TrainingFailure):
        return error.error
    if is_out_of_memory(error):
        return out_of_memory(error)
    if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or "No space left on device" in str(error):
        return JobError(
            code="disk_full",
            message="The cluster's disk is full.",
            advice="Ask the operator to free space; the run can go on from its last checkpoint.",
            retryable=True,
        )
    if any(text in str(error) for text in GPU_ERRORS):
        return JobError(
            code="gpu_error",
            message=f"A GPU or the link between GPUs failed: {_shortened(error)}",
            advice="Try again: the run goes on from its last checkpoint. If it fails again, tell the operator.",
            retryable=True,
        )
    return None


def _shortened(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
