"""Why a trainer ended that could not report it itself: by the signal that ended it."""

import signal

from brightrun.contracts.training import GPU_TIMEOUT, TRAINER_CRASHED, TRAINER_KILLED, JobError

NCCL_TIMEOUT = b"collective operation timeout"
"""In the log of a trainer that NCCL's watchdog has ended."""
OPERATOR = "Try again; if it happens once more, give the run's log to the operator."
LESS_MEMORY = "Lower batch_size, max_length or rank, or ask the operator for a machine with more memory."
FEWER_GPUS = "Try again: the run goes on from its last checkpoint. If it fails again, train on fewer GPUs."


def explain(number: int, log: bytes, out_of_memory: bool) -> JobError:
    """The error of a trainer that signal `number` ended; `out_of_memory`: the kernel killed for memory meanwhile."""
    if number == signal.SIGKILL and out_of_memory:
        message = "The kernel killed the trainer because the machine's memory was used up."
        return JobError(code=TRAINER_KILLED, message=message, advice=LESS_MEMORY, retryable=True)
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number in {signal.SIGKILL, signal.SIGTERM}:
        message = f"The trainer was killed from outside ({name})."
        return JobError(code=TRAINER_KILLED, message=message, advice=OPERATOR, retryable=True)
    if NCCL_TIMEOUT in log:
        message = "The GPUs of this training waited too long for each other (NCCL time-out)."
        return JobError(code=GPU_TIMEOUT, message=message, advice=FEWER_GPUS, retryable=True)
    return JobError(code=TRAINER_CRASHED, message=f"The trainer crashed ({name}).", advice=OPERATOR, retryable=True)
