"""What facts cost and say in the log."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError
from brightrun.contracts.values import new_id
from brightrun.tracker.rules.facts import cost_of, entry_of, stages_of
from tests.builders import NOON, artifact_ready, job_completed, job_progress, job_queued, job_started, pricing


@given(
    rate=st.decimals("0.0001", "99", places=4),
    duration=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=30)),
)
def test_compute_is_rate_times_time_to_four_places(rate: Decimal, duration: timedelta) -> None:
    cost = cost_of(job_completed(pricing=pricing(str(rate)), started_at=NOON, finished_at=NOON + duration))
    exact = Fraction(rate) * (duration // timedelta(microseconds=1)) / 3_600_000_000
    assert cost is not None
    assert cost.cost_type == "compute"
    assert cost.amount == Decimal(int(exact * 10_000 + Fraction(1, 2))) / 10_000


@pytest.mark.parametrize("outcome", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_whatever_the_outcome_time_on_the_gpu_costs(outcome: JobStatus) -> None:
    cost = cost_of(job_completed(outcome=outcome, finished_at=NOON + timedelta(hours=1)))
    assert cost is not None
    assert cost.amount == Decimal("0.0500")


def test_a_job_that_never_ran_costs_nothing() -> None:
    assert cost_of(job_completed(attempt=0, outcome=JobStatus.CANCELLED, started_at=None)) is None


def test_a_stored_model_costs_what_its_job_was_promised() -> None:
    cost = cost_of(artifact_ready(pricing=pricing(storage="0.7500")))
    assert cost is not None
    assert (cost.cost_type, cost.amount, cost.attempt) == ("storage", Decimal("0.7500"), 0)


def test_only_endings_cost() -> None:
    assert cost_of(job_queued()) is None
    assert cost_of(job_started()) is None


def test_a_failure_is_logged_as_an_error_in_the_clusters_words() -> None:
    error = JobError(code="out_of_memory", message="The GPU ran out of memory.")
    entry = entry_of(job_completed(outcome=JobStatus.FAILED, error=error))
    assert (entry.type, entry.level, entry.message) == ("failed", "error", error.message)
    assert entry.data["error"]["code"] == "out_of_memory"


def test_each_stage_of_an_attempt_is_told_once() -> None:
    job_id = new_id()
    visited = [(1, "loading"), (1, "training"), (1, "evaluating"), (1, "training"), (2, "training")]
    entries = stages_of(
        job_progress(job_id=job_id, attempt=attempt, stage=stage, seq=seq)
        for seq, (attempt, stage) in enumerate(visited, start=1)
    )
    assert [entry.source for entry in entries] == [
        "stage:1:loading",
        "stage:1:training",
        "stage:1:evaluating",
        "stage:2:training",
    ]
