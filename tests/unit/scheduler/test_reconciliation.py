"""Which runs nobody owns."""

import pytest

from brightrun.contracts.cluster_api import RunSummary
from brightrun.contracts.values import new_id
from brightrun.scheduler.reconciliation.models import Owner
from brightrun.scheduler.reconciliation.rules import is_known, is_owned, orphan_runs
from brightrun.scheduler.states import AttemptState

JOB = new_id()
RUN = RunSummary(external_job_id="run-1", job_id=JOB, attempt=1, status="running", live=True)


@pytest.mark.parametrize(
    ("owner", "owned"),
    [
        (Owner("local", AttemptState.SUBMITTING, None, job_over=False), True),
        (Owner("local", AttemptState.GIVEN_BACK, None, job_over=False), True),
        (Owner("local", AttemptState.LIVE, "run-1", job_over=False), True),
        (Owner("local", AttemptState.LIVE, "run-2", job_over=False), False),
        (Owner("local", AttemptState.OVER, "run-1", job_over=False), False),
        (Owner("other", AttemptState.SUBMITTING, None, job_over=False), False),
        (Owner("other", AttemptState.LIVE, "run-1", job_over=False), False),
        (Owner("local", AttemptState.GIVEN_BACK, None, job_over=True), False),
        (Owner("local", AttemptState.LIVE, "run-1", job_over=True), False),
        (None, False),
    ],
)
def test_a_run_is_owned_by_the_attempt_that_may_have_started_it(owner, owned) -> None:
    assert is_owned("local", RUN, owner) is owned
    assert orphan_runs("local", [RUN], {(JOB, 1): owner} if owner else {}) == ([] if owned else [RUN])


def test_a_run_that_is_over_is_not_an_orphan() -> None:
    assert orphan_runs("local", [RUN.model_copy(update={"live": False})], {}) == []


def test_only_submitted_attempts_are_known() -> None:
    assert is_known(RUN, {(JOB, 1): Owner("other", AttemptState.OVER, None, job_over=True)})
    assert not is_known(RUN, {(JOB, 2): Owner("local", AttemptState.LIVE, "run-1", job_over=False)})
