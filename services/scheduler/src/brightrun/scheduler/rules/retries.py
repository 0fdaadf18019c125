"""How long things may take, and what is tried again."""

from datetime import timedelta

from brightrun.cluster_client.responses import Busy, Undelivered
from brightrun.contracts.cluster_api import RunStatus
from brightrun.contracts.training import JobError
from brightrun.scheduler.models import SubmissionResult

SUBMISSION_BUDGET = timedelta(seconds=12)
LEASE = timedelta(seconds=15)
"""Longer than a submission may take, so that a second holder appears only when the first is gone."""

SILENCE = timedelta(seconds=15)
"""A cluster that was silent for so long is sent nothing."""

BUSY_PAUSE = timedelta(seconds=2)
SILENT_PAUSE = timedelta(seconds=2)
ANSWER_LOST = JobError(
    code="answer_lost",
    message="The cluster may have the job, but did not answer, and it cannot be asked without starting a second run.",
    advice="Look on the cluster whether the job runs there before you start it again.",
)


def keeps_away(answer: SubmissionResult) -> bool:
    """Whether the cluster is better left alone for a while."""
    return isinstance(answer, Busy | Undelivered)


def retry_pause(losses: int) -> timedelta:
    """How long the next attempt waits after so many were lost: 5 s, 20 s, 80 s …"""
    return timedelta(seconds=5 * 4 ** (losses - 1))


def may_lose_another(losses: int, most_attempts: int) -> bool:
    """Whether a job that has lost so many attempts before this one is tried again."""
    return losses + 1 < most_attempts


def error_of(run: RunStatus) -> JobError | None:
    """Why the run failed; the original's clusters give a sentence only."""
    if run.error is None and run.error_message:
        return JobError(code="run_failed", message=run.error_message)
    return run.error
