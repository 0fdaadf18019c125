"""Why a training failed: messages and codes that a user can act on."""

import errno
import re
from dataclasses import dataclass

from pydantic import ValidationError

from brightrun.contracts.training import GPU_TIMEOUT, TRAINER_ERROR, JobError

ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{4,}")
OUT_OF_MEMORY_TEXTS = (
    "can't allocate",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
LOSS_NOT_FINITE = (
    "loss_not_finite",
    "The training diverged: its loss or its adapter is not a finite number any more.",
    "Lower learning_rate or max_grad_norm, add warm-up, or look for broken examples.",
)


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause that libraries report by a number of the system or by words in an error's text."""

    code: str
    message: str
    advice: str
    texts: tuple[str, ...]
    retryable: bool
    numbers: tuple[int, ...] = ()
    quoted: bool = False

    def matches(self, error: BaseException) -> bool:
        number = error.errno if isinstance(error, OSError) else None
        return number in self.numbers or any(text in str(error) for text in self.texts)

    def explain(self, error: BaseException) -> JobError:
        message = f"{self.message}: {_shortened(error)}" if self.quoted else f"{self.message}."
        return JobError(code=self.code, message=message, advice=self.advice, retryable=self.retryable)


CAUSES = (
    Cause(
        code="disk_full",
        message="The cluster's disk is full",
        advice="Ask the operator to free space; the run can go on from its last checkpoint.",
        # PyTorch's writer of archives says no more than that it could not write.
        texts=(
            "No space left on device",
            "Disk quota exceeded",
            "PytorchStreamWriter failed writing",
            "unexpected pos",
        ),
        numbers=(errno.ENOSPC, errno.EDQUOT),
        retryable=True,
    ),
    Cause(
        code="file_too_large",
        message="The trainer wrote a file that is larger than the cluster allows",
        advice="Lower rank, or ask the operator to raise RUN_FILE_BYTES.",
        texts=("File too large",),
        numbers=(errno.EFBIG,),
        retryable=False,
    ),
    Cause(
        code="dtype_mismatch",
        message="The base model mixes number types that cannot be computed with each other",
        advice="Leave quantization out, or choose a base model whose weights have one number type.",
        texts=("expected scalar type", "the same dtype", "not implemented for '", "Promotion for Float8"),
        retryable=False,
        quoted=True,
    ),
    Cause(
        code="gpu_unsupported",
        message="The cluster's PyTorch does not support its GPU",
        advice="Ask the operator to install a PyTorch for this GPU, or choose another GPU type.",
        texts=("no kernel image is available", "not compiled with CUDA", "CUDA driver version is insufficient"),
        retryable=False,
        quoted=True,
    ),
    Cause(
        code=GPU_TIMEOUT,
        message="The GPUs of this training waited too long for each other",
        advice="Try again: the run goes on from its last checkpoint. If it fails again, train on fewer GPUs.",
        texts=("collective operation timeout", "NCCL timeout", "Timed out waiting", "wait timeout", "Socket Timeout"),
        retryable=True,
        quoted=True,
    ),
    Cause(
        code="gpu_error",
        message="A GPU or the link between GPUs failed",
        advice="Try again: the run goes on from its last checkpoint. If it fails again, tell the operator.",
        texts=("CUDA error", "CUDA driver", "cuDNN error", "CUBLAS_STATUS", "NCCL", "ncclRemoteError", "Gloo connect"),
        retryable=True,
        quoted=True,
    ),
)
"""In the order of precedence."""


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
    return known_cause(error) or JobError(
        code=TRAINER_ERROR,
        message=f"The trainer failed unexpectedly: {type(error).__name__}: {_shortened(error)}",
        advice="Try again; if it happens once more, give the run's log to the operator.",
        retryable=True,
    )


def known_cause(error: BaseException) -> JobError | None:
    """The nearest known cause in the error's chain."""
    cause: BaseException | None = error
    while cause is not None:
        if known := _known(cause):
            return known
        cause = cause.__cause__ or cause.__context__
    return None


def is_out_of_memory(error: BaseException) -> bool:
    # PyTorch's own type is not imported: this module also serves before PyTorch is loaded.
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or any(text in str(error) for text in OUT_OF_MEMORY_TEXTS)


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
    return next((cause.explain(error) for cause in CAUSES if cause.matches(error)), None)


def _shortened(error: BaseException) -> str:
    """The error's text without addresses, so that the same error reads the same in every process."""
    return ADDRESS.sub("0x…", " ".join(str(error).split()))[:300]
