"""How long a submission may take, and when it is repeated."""

from datetime import timedelta

from brightrun.cluster_client.responses import Busy, Undelivered
from brightrun.contracts.training import JobError
from brightrun.scheduler.submission.models import SubmissionResult

SUBMISSION_TIMEOUT = timedelta(seconds=12)
LEASE = timedelta(seconds=15)
"""Longer than a submission may take, so that a second holder appears only when the first is gone."""

BUSY_PAUSE = timedelta(seconds=2)
UNANSWERED_PAUSE = timedelta(seconds=2)

ANSWER_LOST = JobError(
    code="answer_lost",
    message="The cluster may have the job, but did not answer, and it cannot be asked without starting a second run.",
    advice="Look on the cluster whether the job runs there before you start it again.",
)


def needs_pause(submission: SubmissionResult) -> bool:
    """Whether the cluster gets no further submissions for a while."""
    return isinstance(submission, Busy | Undelivered)
