"""However facts arrive, a job ends up the same."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.api.jobs.models import Job
from brightrun.api.jobs.projection import apply_event
from brightrun.contracts.job_status import JobStatus
from brightrun.contracts.training import GpuConfig, JobError, MetricPoint, TrainingSpec
from brightrun.contracts.values import new_id
from tests.builders import (
    NOON,
    artifact_ready,
    dataset_ref,
    job_attempt_lost,
    job_completed,
    job_paused,
    job_progress,
    job_started,
    pricing,
)

JOB = Job(
    id=new_id(),
    user_id=new_id(),
    name="Workshop replies",
    preset_id="fast",
    gpu=GpuConfig(type="CPU"),
    submitted={},
    spec=TrainingSpec(epochs=1).resolved(),
    pricing=pricing("3.5000"),
    estimated_cost=Decimal("2.57"),
    dataset=dataset_ref(),
    planned_steps=90,
    planned_epochs=1,
    planned_seconds=1500,
    queued_at=NOON,
)


def about_the_job(build, **changes):
    return build(job_id=JOB.id, user_id=JOB.user_id, **changes)


def point(step: int, **measured: float) -> MetricPoint:
    return MetricPoint(step=step, epoch=0.1, **measured)


STORY = [
    about_the_job(job_started),
    about_the_job(job_progress, seq=1, status=JobStatus.INITIALIZING, stage="loading", started_at=None, points=()),
    about_the_job(job_progress, seq=2, percent=5.0, points=(point(1, training_loss=2.5, validation_loss=2.6),)),
    about_the_job(job_progress, seq=3, percent=9.0, points=(point(2, training_loss=2.2), point(3, training_loss=2.1))),
    about_the_job(job_started, attempt=2),
    about_the_job(job_progress, attempt=2, seq=1, percent=7.0, points=(point(2, learning_rate=1e-4),)),
    about_the_job(job_completed, attempt=2, pricing=pricing("3.5000"), finished_at=NOON + timedelta(seconds=100)),
    about_the_job(artifact_ready, pricing=pricing("3.5000", "0.5000")),
]


def projected(*events) -> Job:
    return reduce(apply_event, events, JOB)


PAUSED = about_the_job(job_paused, attempt=2, started_at=NOON, finished_at=NOON + timedelta(minutes=10))
LONG_STORY = [
    about_the_job(job_started, pausable=False),
    about_the_job(job_progress, seq=4, started_at=NOON),
    about_the_job(job_attempt_lost),
    about_the_job(job_started, attempt=2),
    about_the_job(job_progress, attempt=2, seq=3, started_at=NOON),
    PAUSED,
    about_the_job(job_started, attempt=3),
    about_the_job(job_progress, attempt=3, seq=1, started_at=NOON + timedelta(hours=1)),
    about_the_job(
        job_completed,
        attempt=3,
        pricing=pricing("3.5000"),
        started_at=NOON + timedelta(hours=1),
        finished_at=NOON + timedelta(hours=1, minutes=20),
        segments=PAUSED.billed,
        stopped_by="duration",
    ),
]


@given(st.permutations(LONG_STORY), st.lists(st.sampled_from(LONG_STORY), max_size=4))
def test_a_job_that_was_lost_paused_and_stopped_ends_up_the_same_in_any_order(shuffled, again):
    assert projected(*shuffled, *again) == projected(*LONG_STORY)


@given(st.permutations(LONG_STORY[:6]))
def test_a_paused_job_is_the_same_in_any_order(shuffled):
    job = projected(*shuffled)
    assert job == projected(*LONG_STORY[:6])
    assert (job.state.status, job.cost_at(NOON + timedelta(days=9))) == (JobStatus.PAUSED, Decimal("0.5833"))


def test_what_it_costs_is_the_sum_of_its_parts_as_the_ledger_rounds_them():
    job = projected(*LONG_STORY)
    assert job.ending is not None
    assert (job.ending.seconds, job.ending.stopped_by) == (1800.0, "duration")
    assert job.final_cost == Decimal("0.5833") + Decimal("1.1667")
    assert job.started_at == NOON


def test_the_shown_cost_never_exceeds_the_cap():
    capped = replace(JOB, spec=JOB.spec.model_copy(update={"max_cost": Decimal("2.00")}))
    job = reduce(apply_event, STORY[:3], capped)
    assert job.cost_at(NOON + timedelta(hours=9)) == Decimal("1.5000"), "0.50 of it is for storage"


@given(st.permutations(STORY), st.lists(st.sampled_from(STORY), max_size=4))
def test_a_projection_does_not_depend_on_order_or_redelivery(shuffled, again):
    assert projected(*shuffled, *again) == projected(*STORY)


@given(st.permutations(STORY[:6]))
def test_a_live_job_is_the_same_in_any_order(shuffled):
    assert projected(*shuffled) == projected(*STORY[:6])


def test_the_whole_story():
    job = projected(*STORY)

    assert job.state.status is JobStatus.COMPLETED
    assert (job.percent, job.stage) == (100.0, "completed")
    assert job.final_cost == Decimal("0.5972")  # 3.50 · 100 / 3600 = 0.09722… → 0.0972, and 0.50 for storage
    assert {name: reading.value for name, reading in job.metrics.items()} == {
        "training_loss": 2.1,
        "validation_loss": 2.6,
        "learning_rate": 1e-4,
    }


@given(st.permutations(STORY))
def test_a_terminal_status_never_changes(shuffled):
    job, ended = JOB, False
    for event in shuffled:
        job = apply_event(job, event)
        ended = ended or job.state.status.terminal
        assert job.state.status.terminal is ended


def test_a_second_ending_changes_nothing():
    job = projected(about_the_job(job_completed, outcome=JobStatus.CANCELLED))

    assert apply_event(job, about_the_job(job_completed, attempt=9)) == job


def test_a_running_job_costs_its_time_so_far():
    job = projected(*STORY[:3])

    assert job.cost_at(NOON + timedelta(minutes=30)) == Decimal("1.7500")
    assert job.final_cost is None


def test_a_waiting_job_costs_nothing():
    assert JOB.cost_at(NOON) == 0
    assert (JOB.stage, JOB.percent) == ("queued", 0.0)


def test_a_job_cancelled_before_it_ran_costs_nothing():
    job = projected(about_the_job(job_completed, attempt=0, outcome=JobStatus.CANCELLED, cluster=None, started_at=None))

    assert (job.state.status, job.final_cost) == (JobStatus.CANCELLED, 0)


def test_a_failed_job_keeps_its_progress_and_has_its_error():
    error = JobError(code="out_of_memory", message="The GPU's memory is full.", advice="Use a smaller batch.")
    job = projected(*STORY[:4], about_the_job(job_completed, outcome=JobStatus.FAILED, error=error))

    assert (job.percent, job.stage) == (9.0, "failed")
    assert job.ending is not None
    assert job.ending.error == error


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_measurement_that_is_no_number_is_not_shown(value):
    job = projected(*STORY[:4], about_the_job(job_progress, seq=4, points=(point(4, training_loss=value),)))

    assert job.metrics["training_loss"].value == 2.1
