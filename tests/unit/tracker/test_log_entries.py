"""What facts cost and say in the log."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import JobError, MetricPoint
from brightrun.contracts.values import new_id
from brightrun.tracker.rules.log_entries import METRICS_PER_ATTEMPT, costs_of, entry_of, metrics_of, stages_of
from tests.builders import (
    NOON,
    artifact_ready,
    budget_reached,
    duration_reached,
    job_attempt_lost,
    job_completed,
    job_finish_requested,
    job_pause_requested,
    job_paused,
    job_progress,
    job_queued,
    job_resume_requested,
    job_started,
    pricing,
)


@given(
    rate=st.decimals("0.0001", "99", places=4),
    duration=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=30)),
)
def test_compute_is_rate_times_time_to_four_places(rate: Decimal, duration: timedelta) -> None:
    [cost] = costs_of(job_completed(pricing=pricing(str(rate)), started_at=NOON, finished_at=NOON + duration))
    exact = Fraction(rate) * (duration // timedelta(microseconds=1)) / 3_600_000_000
    assert cost.cost_type == "compute"
    assert cost.amount == Decimal(int(exact * 10_000 + Fraction(1, 2))) / 10_000


@pytest.mark.parametrize("outcome", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_whatever_the_outcome_time_on_the_gpu_costs(outcome: JobStatus) -> None:
    [cost] = costs_of(job_completed(outcome=outcome, finished_at=NOON + timedelta(hours=1)))
    assert cost.amount == Decimal("0.0500")


def test_a_job_that_never_ran_costs_nothing() -> None:
    assert costs_of(job_completed(attempt=0, outcome=JobStatus.CANCELLED, started_at=None)) == []


def test_a_stored_model_costs_what_its_job_was_promised() -> None:
    [cost] = costs_of(artifact_ready(pricing=pricing(storage="0.7500")))
    assert (cost.cost_type, cost.amount, cost.attempt) == ("storage", Decimal("0.7500"), 0)


def test_only_endings_cost() -> None:
    for fact in (job_queued(), job_started(), job_attempt_lost(), budget_reached(), job_resume_requested()):
        assert costs_of(fact) == []


def test_each_attempt_that_is_billed_is_an_entry_of_its_own() -> None:
    paused = job_paused(attempt=1, started_at=NOON, finished_at=NOON + timedelta(hours=1))
    done = job_completed(
        job_id=paused.job_id,
        attempt=3,
        started_at=NOON + timedelta(hours=5),
        finished_at=NOON + timedelta(hours=7),
        segments=paused.billed,
    )
    [first] = costs_of(paused)
    again, last = costs_of(done)
    assert (first.attempt, first.amount) == (again.attempt, again.amount) == (1, Decimal("0.0500"))
    assert (last.attempt, last.amount) == (3, Decimal("0.1000"))
    assert costs_of(job_paused(started_at=None)) == []


@pytest.mark.parametrize(
    ("fact", "type_", "words"),
    [
        (job_paused(step=40), "paused", "Paused at step 40"),
        (job_pause_requested(), "pause_requested", "Pausing, as you asked"),
        (job_finish_requested(), "finish_requested", "delivers what it has"),
        (job_resume_requested(), "resumed", "waits for GPUs again"),
        (job_attempt_lost(), "attempt_lost", "not billed; another begins anew. The node went away."),
        (job_attempt_lost(resumes=True), "attempt_lost", "goes on from its last checkpoint"),
        (budget_reached(), "budget_reached", "has cost $5.01 of at most $5.00"),
        (duration_reached(), "duration_reached", "for 3570 s of at most 3600 s"),
        (job_completed(stopped_by="budget"), "completed", "ended early by its budget"),
        (job_completed(stopped_by="user"), "completed", "ended early by you"),
        (job_completed(outcome=JobStatus.CANCELLED, stopped_by="duration"), "cancelled", "stopped by its duration"),
    ],
)
def test_the_log_tells_why_a_job_stood_still_or_ended(fact, type_: str, words: str) -> None:
    entry = entry_of(fact)
    assert entry.type == type_
    assert words in entry.message


def test_a_failure_is_logged_as_an_error_in_the_clusters_words() -> None:
    error = JobError(code="out_of_memory", message="The GPU ran out of memory.")
    entry = entry_of(job_completed(outcome=JobStatus.FAILED, error=error))
    assert (entry.type, entry.level, entry.message) == ("failed", "error", error.message)
    assert entry.data["error"]["code"] == "out_of_memory"


def test_each_stage_of_an_attempt_is_logged_once() -> None:
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


def test_measurements_of_an_attempt_are_logged_evenly_and_at_most_so_often() -> None:
    job_id = new_id()
    points = [MetricPoint(step=step, epoch=0, training_loss=2.0, token_accuracy=0.5) for step in range(1, 10_001)]
    events = [
        job_progress(job_id=job_id, seq=seq, total_steps=10_000, points=tuple(points[start : start + 100]))
        for seq, start in enumerate(range(0, 10_000, 100), start=1)
    ]
    entries = metrics_of(events)
    assert METRICS_PER_ATTEMPT <= len(entries) <= METRICS_PER_ATTEMPT + 1
    assert {entry.type for entry in entries} == {"metrics"}
    assert [entry.data["step"] for entry in entries][:3] == [1, 200, 400]
    assert entries[1].message == "Step 200 of 10000: training loss 2."
    assert entries[1].data == {
        "attempt": 1,
        "step": 200,
        "total_steps": 10_000,
        "training_loss": 2.0,
        "token_accuracy": 0.5,
    }
    assert [entry.source for entry in metrics_of(events[:1])] == [entry.source for entry in entries[:1]]
    assert metrics_of([job_progress(job_id=job_id, points=(MetricPoint(step=1, epoch=0),))]) == []
