"""The decisions about runs, without a run."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from brightrun.cluster.models import Run
from brightrun.cluster.runs import rules
from brightrun.contracts.cluster_api import SubmitRun
from brightrun.contracts.reports import (
    CheckpointReport,
    FailedReport,
    FinishedReport,
    PlanReport,
    PointsReport,
    StageReport,
)
from brightrun.contracts.training import GpuConfig, JobError, MetricPoint, TrainingSpec
from brightrun.contracts.values import new_id

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


def request(**changes: Any) -> SubmitRun:
    values = {"job_id": new_id(), "dataset_url": "http://data", "gpu_config": GpuConfig(type="CPU")}
    return SubmitRun(**values | {"hyperparameters": TrainingSpec()} | changes)


def new_run(simulated: bool = False) -> Run:
    return rules.submitted("run_1", request(), (0,), simulated)


def launch(run: Run, now: datetime = NOW, max_restarts: int = 3, queues: bool = False) -> Run:
    return rules.launch(run, now, max_restarts, queues)


def point(step: int) -> MetricPoint:
    return MetricPoint(step=step, epoch=step / 10, training_loss=1.0)


def test_a_run_goes_from_initializing_to_running_and_never_back() -> None:
    run = launch(new_run(), NOW, 3)
    assert (run.status.status, run.status.started_at) == ("initializing", NOW)
    run = rules.apply_report(run, StageReport(stage="tokenizing"), (), NOW)
    assert run.status.status == "initializing"
    run = rules.apply_report(run, PlanReport(total_steps=10, total_epochs=1, examples=40), (), NOW)
    assert run.status.status == "running"
    run = rules.apply_report(launch(run, LATER, 3), StageReport(stage="loading"), (), LATER)
    assert (run.status.status, run.status.started_at) == ("running", NOW)


def test_progress_is_the_share_of_the_plan_that_is_done() -> None:
    run = rules.apply_report(new_run(), PlanReport(total_steps=40, total_epochs=4, examples=40), (), NOW)
    run = rules.apply_report(run, PointsReport(points=(point(9), point(10)), trained_tokens=70, eta_seconds=9), (), NOW)
    status = run.status
    assert (status.progress, status.current_step, status.current_epoch) == (25, 10, 1)
    assert (status.trained_tokens, status.eta_seconds, status.metrics) == (70, 9, point(10))


def test_a_batch_without_points_keeps_the_last_measurement() -> None:
    run = rules.apply_report(new_run(), PointsReport(points=(point(3),)), (), NOW)
    assert rules.apply_report(run, PointsReport(points=()), (), NOW).status.metrics == point(3)


def test_a_stopped_trainer_means_cancelled_only_if_a_cancel_was_asked_for() -> None:
    stopped = FinishedReport(outcome="stopped", trained_tokens=5)
    interrupted = rules.apply_report(launch(new_run(), NOW, 0), stopped, (), NOW)
    assert (interrupted.finished, interrupted.interrupted) == (False, True)
    cancelled = rules.apply_report(rules.cancel(new_run()), stopped, (), LATER)
    assert (cancelled.status.status, cancelled.status.finished_at) == ("cancelled", LATER)


def test_a_pause_is_shown_as_one_until_the_run_is_cancelled() -> None:
    stopped = FinishedReport(outcome="stopped", trained_tokens=5)
    pausing = rules.pause(launch(new_run()))
    assert (pausing.status.stage, pausing.cancelling) == ("pausing", True)
    paused = rules.apply_report(pausing, stopped, (), LATER)
    assert (paused.status.status, paused.status.stage) == ("cancelled", "paused")
    assert rules.pause(pausing) == pausing
    cancelled = rules.cancel(pausing)
    assert cancelled.status.stage == "cancelling"
    assert rules.pause(cancelled) == cancelled
    assert rules.apply_report(cancelled, stopped, (), LATER).status.stage == "cancelled"


def test_a_resumed_run_is_as_far_as_its_checkpoint_from_the_start() -> None:
    earlier = new_run().status.model_copy(
        update={
            "current_step": 50, "total_steps": 200, "current_epoch": 0.5, "total_epochs": 2.0, "trained_tokens": 1000,
            "last_checkpoint_step": 40,
        }
    )  # fmt: skip
    run = rules.submitted("run_2", request(), (0,), False, earlier)
    assert run.adopts == earlier.external_job_id
    for status in (run.status, launch(run).status, rules.adopt(run, 40).status):
        assert (status.progress, status.current_step, status.total_steps) == (20, 40, 200)
        assert (status.current_epoch, status.total_epochs, status.trained_tokens) == (0.4, 2.0, 800)
        assert status.last_checkpoint_step == 40


def test_a_run_goes_on_from_one_of_its_job_or_of_the_same_training() -> None:
    spec, sha256 = TrainingSpec(max_steps=9), "ab" * 32
    earlier = request(hyperparameters=spec, dataset_sha256=sha256)
    assert rules.continues(request(job_id=earlier.job_id, hyperparameters=TrainingSpec(max_steps=8)), earlier)
    limited = spec.model_copy(update={"max_duration": 60})
    assert rules.continues(request(hyperparameters=limited, dataset_sha256=sha256), earlier)
    assert not rules.continues(request(hyperparameters=spec, dataset_sha256="cd" * 32), earlier)
    assert not rules.continues(request(hyperparameters=TrainingSpec(max_steps=8), dataset_sha256=sha256), earlier)
    assert not rules.continues(request(hyperparameters=spec), request(hyperparameters=spec))


def test_a_run_that_completes_after_a_cancel_is_completed() -> None:
    run = rules.apply_report(rules.cancel(new_run()), FinishedReport(outcome="completed", trained_tokens=5), (), NOW)
    assert run.status.status == "completed"


def test_a_failure_keeps_the_trainers_error() -> None:
    error = JobError(code="out_of_memory", message="Too big.", advice="Use a smaller batch.")
    status = rules.apply_report(new_run(), FailedReport(error=error), (), NOW).status
    assert (status.status, status.error, status.error_message) == ("failed", error, "Too big.")


def test_a_cancelled_run_without_a_trainer_is_over() -> None:
    assert launch(rules.cancel(new_run()), NOW, 3).status.status == "cancelled"


@given(restarts=st.integers(0, 10))
def test_a_trainer_that_keeps_dying_is_restarted_a_bounded_number_of_times(restarts: int) -> None:
    run, launches = launch(new_run(), NOW, restarts), 1
    while not (run := launch(run, LATER, restarts)).finished:
        launches += 1
    assert launches == 1 + restarts
    assert run.status.error == rules.RUN_LOST


def test_a_run_whose_trainers_die_fails_with_the_cause_of_the_last_death() -> None:
    killed = JobError(code="trainer_killed", message="The kernel killed the trainer.", retryable=True)
    run = rules.lose_trainer(launch(new_run()), killed)
    assert run.status.message == killed.message
    assert launch(run, LATER, max_restarts=0).status.error == killed
    unknown = rules.lose_trainer(run, None)
    assert launch(unknown, LATER, max_restarts=0).status.error == rules.RUN_LOST


def test_interruptions_are_no_restarts() -> None:
    run = launch(new_run(), NOW, 0)
    for _ in range(5):
        run = launch(rules.interrupt(run), LATER, 0)
    assert not run.finished


def test_every_stage_of_a_simulation_says_so() -> None:
    run = rules.apply_report(launch(new_run(simulated=True), NOW, 0), StageReport(stage="training"), (), NOW)
    assert (run.status.stage, run.status.status) == ("training (simulated)", "running")


def test_a_stage_comes_with_its_message_until_the_next_one() -> None:
    run = rules.apply_report(launch(new_run()), StageReport(stage="loading", message="base model tiny"), (), NOW)
    assert (run.status.stage, run.status.message) == ("loading", "base model tiny")
    assert rules.apply_report(run, StageReport(stage="tokenizing"), (), NOW).status.message == ""


def test_checkpoints_are_remembered_with_the_time_that_saving_took() -> None:
    run = rules.apply_report(launch(new_run()), CheckpointReport(step=20, path="checkpoints/20", seconds=1.5), (), NOW)
    run = rules.apply_report(run, CheckpointReport(step=40, path="checkpoints/40"), (), NOW)
    assert (run.status.last_checkpoint_step, run.status.checkpoint_seconds) == (40, 1.5)


def test_a_trainer_that_may_have_to_wait_is_billed_from_its_first_report() -> None:
    run = launch(new_run(), NOW, queues=True)
    assert (run.status.stage, run.status.started_at) == ("waiting", None)
    run = rules.apply_report(run, StageReport(stage="loading"), (), LATER)
    assert run.status.started_at == LATER
    assert launch(run, LATER, queues=True).restarts == 1


def test_a_launch_that_was_lost_before_its_first_report_counts_as_a_restart() -> None:
    run = launch(launch(new_run(), queues=True), queues=True)
    assert (run.launches, run.restarts) == (2, 1)


DELIVERED = FinishedReport(
    outcome="completed", trained_tokens=5, files=("adapter.bin",), metadata={"steps": 3, "stopped_early": True}
)


def test_a_run_asked_to_finish_completes_as_stopped_early() -> None:
    run = rules.finish(launch(new_run()))
    assert run.status.stage == "finishing"
    status = rules.apply_report(run, DELIVERED, (), LATER).status
    assert (status.status, status.stopped_early) == ("completed", True)


def test_a_run_that_was_complete_when_asked_to_finish_did_not_stop_early() -> None:
    whole = DELIVERED.model_copy(update={"metadata": {"steps": 9}})
    assert rules.apply_report(rules.finish(launch(new_run())), whole, (), LATER).status.stopped_early is False


def test_a_finishing_trainer_that_had_to_be_stopped_delivers_what_it_saved() -> None:
    run = rules.finish(launch(new_run()))
    assert (
        rules.apply_report(run, DELIVERED.model_copy(update={"outcome": "stopped"}), (), NOW).status.status
        == "completed"
    )
    nothing = FinishedReport(outcome="stopped", trained_tokens=0)
    assert rules.apply_report(run, nothing, (), NOW).status.status == "cancelled"


def test_a_cancel_overrules_a_finish_and_not_the_other_way_round() -> None:
    run = rules.cancel(rules.finish(launch(new_run())))
    stopped = DELIVERED.model_copy(update={"outcome": "stopped"})
    assert rules.apply_report(run, stopped, (), NOW).status.status == "cancelled"
    assert rules.finish(run) == run


def test_a_run_whose_machines_do_not_answer_is_lost_unless_it_was_cancelled() -> None:
    lost = rules.lose_contact(launch(new_run()), "no answer", LATER).status
    assert lost.error
    assert (lost.status, lost.error.code, lost.error.retryable) == ("failed", "cluster_unreachable", True)
    assert rules.lose_contact(rules.cancel(launch(new_run())), "no answer", LATER).status.status == "cancelled"
