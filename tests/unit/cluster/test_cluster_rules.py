"""The decisions about runs, without a run."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.cluster import rules
from brightrun.cluster.errors import DiskFull, NoCapacity, Unsupported
from brightrun.cluster.models import Hardware, Run
from brightrun.contracts.cluster_api import SubmitRun
from brightrun.contracts.reports import FailedReport, FinishedReport, PlanReport, PointsReport, StageReport
from brightrun.contracts.training import GpuConfig, JobError, MetricPoint, TrainingSpec
from brightrun.contracts.values import new_id

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
PLENTY = 1 << 40


def request(**changes: Any) -> SubmitRun:
    values = {"job_id": new_id(), "dataset_url": "http://data", "gpu_config": GpuConfig(type="CPU")}
    return SubmitRun(**values | {"hyperparameters": TrainingSpec()} | changes)


def hardware(slots: int = 4, base_models: tuple[str, ...] = ("tiny",)) -> Hardware:
    return Hardware("CPU", slots, base_models, simulated=False)


def new_run(simulated: bool = False) -> Run:
    return rules.submitted("run_1", request(), (0,), simulated)


def point(step: int) -> MetricPoint:
    return MetricPoint(step=step, epoch=step / 10, training_loss=1.0)


def test_a_run_gets_the_first_free_devices() -> None:
    assert rules.admit(request(gpu_config=GpuConfig(type="CPU", count=2)), hardware(), {0, 2}, PLENTY) == (1, 3)


def test_a_run_that_does_not_fit_now_is_told_to_come_back() -> None:
    with pytest.raises(NoCapacity):
        rules.admit(request(gpu_config=GpuConfig(type="CPU", count=3)), hardware(), {0, 2}, PLENTY)


def test_all_that_is_unsupported_is_named_at_once() -> None:
    wanted = request(gpu_config=GpuConfig(type="H100"), hyperparameters=TrainingSpec(base_model="huge"))
    with pytest.raises(Unsupported) as refused:
        rules.admit(wanted, hardware(), set(), PLENTY)
    assert set(refused.value.details) == {"gpu_config.type", "hyperparameters.base_model"}


def test_a_cluster_without_base_models_runs_none() -> None:
    with pytest.raises(Unsupported):
        rules.admit(request(), hardware(base_models=()), set(), PLENTY)


def test_a_full_disk_takes_no_run() -> None:
    with pytest.raises(DiskFull):
        rules.admit(request(), hardware(), set(), rules.LEAST_FREE_BYTES - 1)


def test_a_run_goes_from_initializing_to_running_and_never_back() -> None:
    run = rules.launch(new_run(), NOW, 3)
    assert (run.status.status, run.status.started_at) == ("initializing", NOW)
    run = rules.hear(run, StageReport(stage="tokenizing"), (), NOW)
    assert run.status.status == "initializing"
    run = rules.hear(run, PlanReport(total_steps=10, total_epochs=1, examples=40), (), NOW)
    assert run.status.status == "running"
    run = rules.hear(rules.launch(run, LATER, 3), StageReport(stage="loading"), (), LATER)
    assert (run.status.status, run.status.started_at) == ("running", NOW)


def test_progress_is_the_share_of_the_plan_that_is_done() -> None:
    run = rules.hear(new_run(), PlanReport(total_steps=40, total_epochs=4, examples=40), (), NOW)
    run = rules.hear(run, PointsReport(points=(point(9), point(10)), trained_tokens=70, eta_seconds=9), (), NOW)
    status = run.status
    assert (status.progress, status.current_step, status.current_epoch) == (25, 10, 1)
    assert (status.trained_tokens, status.eta_seconds, status.metrics) == (70, 9, point(10))


def test_a_batch_without_points_keeps_the_last_measurement() -> None:
    run = rules.hear(new_run(), PointsReport(points=(point(3),)), (), NOW)
    assert rules.hear(run, PointsReport(points=()), (), NOW).status.metrics == point(3)


def test_a_stopped_trainer_means_cancelled_only_if_a_cancel_was_asked_for() -> None:
    stopped = FinishedReport(outcome="stopped", trained_tokens=5)
    interrupted = rules.hear(rules.launch(new_run(), NOW, 0), stopped, (), NOW)
    assert (interrupted.finished, interrupted.interrupted) == (False, True)
    cancelled = rules.hear(rules.cancel(new_run()), stopped, (), LATER)
    assert (cancelled.status.status, cancelled.status.finished_at) == ("cancelled", LATER)


def test_a_run_that_completes_after_a_cancel_is_completed() -> None:
    run = rules.hear(rules.cancel(new_run()), FinishedReport(outcome="completed", trained_tokens=5), (), NOW)
    assert run.status.status == "completed"


def test_a_failure_keeps_the_trainers_words() -> None:
    error = JobError(code="out_of_memory", message="Too big.", advice="Use a smaller batch.")
    status = rules.hear(new_run(), FailedReport(error=error), (), NOW).status
    assert (status.status, status.error, status.error_message) == ("failed", error, "Too big.")


def test_a_cancelled_run_without_a_trainer_is_over() -> None:
    assert rules.launch(rules.cancel(new_run()), NOW, 3).status.status == "cancelled"


@given(restarts=st.integers(0, 10))
def test_a_trainer_that_keeps_dying_is_restarted_a_bounded_number_of_times(restarts: int) -> None:
    run, launches = rules.launch(new_run(), NOW, restarts), 1
    while not (run := rules.launch(run, LATER, restarts)).finished:
        launches += 1
    assert launches == 1 + restarts
    assert run.status.error == rules.RUN_LOST


def test_interruptions_are_no_restarts() -> None:
    run = rules.launch(new_run(), NOW, 0)
    for _ in range(5):
        run = rules.launch(rules.interrupt(run), LATER, 0)
    assert not run.finished


def test_every_stage_of_a_simulation_says_so() -> None:
    run = rules.hear(rules.launch(new_run(simulated=True), NOW, 0), StageReport(stage="training"), (), NOW)
    assert (run.status.stage, run.status.status) == ("training (simulated)", "running")
