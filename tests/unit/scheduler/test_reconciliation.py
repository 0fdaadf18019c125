"""Which runs nobody owns."""

import pytest

from brightrun.contracts.cluster_api import RunSummary
from brightrun.contracts.values import new_id
from brightrun.scheduler.models import Owner
from brightrun.scheduler.rules.reconciliation import is_ours, is_owned, strays

JOB = new_id()
RUN = RunSummary(external_job_id="run-1", job_id=JOB, attempt=1, status="running", live=True)


@pytest.mark.parametrize(
    ("owner", "owned"),
    [
        (Owner("local", "submitting", None, job_over=False), True),
        (Owner("local", "given_back", None, job_over=False), True),
        (Owner("local", "live", "run-1", job_over=False), True),
        (Owner("local", "live", "run-2", job_over=False), False),
        (Owner("local", "over", "run-1", job_over=False), False),
        (Owner("other", "submitting", None, job_over=False), False),
        (Owner("other", "live", "run-1", job_over=False), False),
        (Owner("local", "given_back", None, job_over=True), False),
        (Owner("local", "live", "run-1", job_over=True), False),
        (None, False),
    ],
)
def test_a_run_is_owned_by_the_attempt_that_may_have_started_it(owner, owned) -> None:
    assert is_owned("local", RUN, owner) is owned
    assert strays("local", [RUN], {(JOB, 1): owner} if owner else {}) == ([] if owned else [RUN])


def test_a_run_that_is_over_is_no_stray() -> None:
    assert strays("local", [RUN.model_copy(update={"live": False})], {}) == []


def test_only_what_was_submitted_by_us_is_known_to_be_ours() -> None:
    assert is_ours(RUN, {(JOB, 1): Owner("other", "over", None, job_over=True)})
    assert not is_ours(RUN, {(JOB, 2): Owner("local", "live", "run-1", job_over=False)})
