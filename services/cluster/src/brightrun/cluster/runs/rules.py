"""The state machine of a run: pure decisions, from its state and what happened."""

from datetime import datetime

from brightrun.cluster.errors import retryable, run_lost
from brightrun.cluster.models import Run
from brightrun.contracts.cluster_api import ClusterFile, RunState, RunStatus, SubmitRun
from brightrun.contracts.reports import (
    CheckpointReport,
    FailedReport,
    FinishedReport,
    PlanReport,
    PointsReport,
    Report,
    StageReport,
)
from brightrun.contracts.training import JobError

RUN_LOST = run_lost("The trainer died again and again without saying why.")


def submitted(
    run_id: str, request: SubmitRun, devices: tuple[int, ...], simulated: bool, resumed: RunStatus | None = None
) -> Run:
    """A new run, which downloads its data set first. It is as far as the run that it is `resumed` from."""
    status = RunStatus(
        external_job_id=run_id,
        job_id=request.job_id,
        attempt=request.attempt,
        status="initializing",
        stage="downloading",
        progress=0,
    )
    adopts = resumed.external_job_id if resumed else None
    run = Run(request=request, status=status, devices=devices, simulated=simulated, adopts=adopts)
    return _enter(_adopt_progress(run, resumed) if resumed else run, "downloading")


def _adopt_progress(run: Run, resumed: RunStatus) -> Run:
    """As far as the last checkpoint of the `resumed` run, of what it had trained by its end."""
    step, trained = resumed.last_checkpoint_step or 0, resumed.current_step
    share = min(step / trained, 1.0) if trained else 0.0
    return _update(
        run,
        current_step=step,
        total_steps=resumed.total_steps,
        current_epoch=round(resumed.current_epoch * share, 4),
        total_epochs=resumed.total_epochs,
        trained_tokens=int(resumed.trained_tokens * share),
        progress=min(100.0, 100 * step / resumed.total_steps) if resumed.total_steps else 0.0,
        last_checkpoint_step=step,
    )


def continues(request: SubmitRun, earlier: SubmitRun) -> bool:
    """Whether the run can go on from a checkpoint of the earlier one: of its job, or of the same training."""
    if request.job_id == earlier.job_id:
        return True
    specs = [one.hyperparameters.model_dump(exclude={"max_cost", "max_duration"}) for one in (request, earlier)]
    digest = request.dataset_sha256
    return digest is not None and digest == earlier.dataset_sha256 and specs[0] == specs[1]


def adopt(run: Run, step: int) -> Run:
    return _update(run, last_checkpoint_step=step, message=f"goes on from step {step}")


def launch(run: Run, now: datetime, max_restarts: int, queues: bool) -> Run:
    """What to do with a run that has no trainer: start, resume, or end it.

    Billing starts with the first trainer, or with its first report where a trainer may have to wait (`queues`).
    """
    if run.cancelling:
        return _finish(run, "cancelled", now)
    if run.launched and not run.interrupted:
        if run.restarts >= max_restarts:
            return fail(run, run.last_exit or RUN_LOST, now)
        run = run.model_copy(update={"restarts": run.restarts + 1})
    run = run.model_copy(update={"interrupted": False, "launches": run.launches + 1})
    if queues:
        return _enter(run, "waiting", "for a place on the cluster's machines")
    return _enter(_update(run, started_at=run.status.started_at or now), "loading")


def lose_trainer(run: Run, error: JobError | None) -> Run:
    """The trainer is gone without a last report; `error`: why, if that is known."""
    run = run.model_copy(update={"last_exit": error})
    return _update(run, message=error.message) if error else run


def wait_for_resources(run: Run, reason: str) -> Run:
    return _enter(run, "waiting", reason)


def apply_report(run: Run, report: Report, files: tuple[ClusterFile, ...], now: datetime) -> Run:
    """The run after its trainer's `report`; `files` are those of a completed run."""
    if run.status.started_at is None:
        run = _update(run, started_at=now)
    match report:
        case StageReport():
            return _enter(run, report.stage, report.message)
        case PlanReport():
            return _update(run, status="running", total_steps=report.total_steps, total_epochs=report.total_epochs)
        case PointsReport():
            return _measure(run, report)
        case CheckpointReport():
            seconds = run.status.checkpoint_seconds if report.seconds is None else report.seconds
            return _update(run, last_checkpoint_step=report.step, checkpoint_seconds=seconds)
        case FinishedReport():
            return _end(run, report, files, now)
        case FailedReport():
            return fail(run, report.error, now)


def completes(run: Run, report: Report) -> bool:
    """Whether the report completes the run: a finishing trainer that had to be stopped delivers as well."""
    if not isinstance(report, FinishedReport):
        return False
    return report.outcome == "completed" or (run.finishing and not run.cancelling and bool(report.files))


def cancel(run: Run) -> Run:
    if run.cancelling and not run.pausing:
        return run
    return _enter(run.model_copy(update={"cancelling": True, "pausing": False}), "cancelling")


def pause(run: Run) -> Run:
    """Save and stop like a cancellation; another run goes on from there."""
    if run.cancelling:
        return run
    return _enter(run.model_copy(update={"cancelling": True, "pausing": True}), "pausing")


def finish(run: Run) -> Run:
    """Ask the run to train no further and deliver; too late for one that is being cancelled."""
    if run.cancelling or run.finishing:
        return run
    return _enter(run.model_copy(update={"finishing": True}), "finishing")


def interrupt(run: Run) -> Run:
    return run if run.interrupted else _enter(run.model_copy(update={"interrupted": True}), "interrupted")


def fail(run: Run, error: JobError, now: datetime) -> Run:
    return _finish(run, "failed", now, error=error, error_message=error.message)


def exceed_memory(run: Run, used: int, limit: int, now: datetime) -> Run:
    error = JobError(
        code="out_of_memory",
        message=f"The training took {used >> 20:,} MiB of memory; a run may take {limit >> 20:,} MiB here.",
        advice="Halve batch_size and double gradient_accumulation, or lower max_length or rank.",
    )
    return fail(run, error, now)


def lose_contact(run: Run, reason: str, now: datetime) -> Run:
    """The machines that train have not answered for too long; a run that was being cancelled counts as cancelled."""
    if run.cancelling:
        return _finish(run, "cancelled", now)
    return fail(run, retryable("cluster_unreachable", f"The machines that train could not be reached: {reason}."), now)


def _enter(run: Run, stage: str, message: str = "") -> Run:
    """A stage belongs to `running` unless it comes before the training; a run that was running stays so."""
    training = run.status.status == "running" or stage in {"training", "evaluating", "saving"}
    shown = f"{stage} (simulated)" if run.simulated else stage
    return _update(run, stage=shown, message=message, status="running" if training else "initializing")


def _end(run: Run, report: FinishedReport, files: tuple[ClusterFile, ...], now: datetime) -> Run:
    run = _update(run, trained_tokens=report.trained_tokens)
    if completes(run, report):
        run = run.model_copy(update={"files": files, "metadata": report.metadata})
        early = report.metadata.get("stopped_early") is True
        return _finish(run, "completed", now, progress=100, stopped_early=early)
    # A finishing run that was stopped before its first step has nothing to deliver.
    return _finish(run, "cancelled", now) if run.cancelling or run.finishing else interrupt(run)


def _measure(run: Run, report: PointsReport) -> Run:
    changes: dict[str, object] = {"trained_tokens": report.trained_tokens, "eta_seconds": report.eta_seconds}
    if report.points:
        last = report.points[-1]
        total = run.status.total_steps
        changes |= {"metrics": last, "current_step": last.step, "current_epoch": last.epoch}
        changes["progress"] = min(100.0, 100 * last.step / total) if total else 0.0
    return _update(run, **changes)


def _finish(run: Run, state: RunState, now: datetime, **changes: object) -> Run:
    stage = "paused" if run.pausing and state == "cancelled" else state
    return _update(_enter(run, stage), status=state, finished_at=now, eta_seconds=None, **changes)


def _update(run: Run, **changes: object) -> Run:
    return run.model_copy(update={"status": run.status.model_copy(update=changes)})
