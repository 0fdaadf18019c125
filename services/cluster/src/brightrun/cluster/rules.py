"""What becomes of a run: pure decisions, from what it was and what happened."""

from collections.abc import Collection
from datetime import datetime

from brightrun.cluster.errors import DiskFull, NoCapacity, Unsupported
from brightrun.cluster.models import Hardware, Run
from brightrun.contracts.cluster_api import ClusterFile, RunState, RunStatus, SubmitRun
from brightrun.contracts.reports import FailedReport, FinishedReport, PlanReport, PointsReport, Report, StageReport
from brightrun.contracts.training import JobError

LEAST_FREE_BYTES = 1 << 30

RUN_LOST = JobError(
    code="run_lost",
    message="The trainer died again and again without saying why.",
    advice="The run's log has its last words; the job can be tried again.",
    retryable=True,
)


def admit(request: SubmitRun, hardware: Hardware, taken: Collection[int], free_bytes: int) -> tuple[int, ...]:
    """The devices that the run gets; raises why it gets none."""
    problems: dict[str, list[str]] = {}
    gpu, base_model = request.gpu_config, request.hyperparameters.base_model
    if gpu.type != hardware.gpu_type:
        problems["gpu_config.type"] = [f"this cluster has {hardware.gpu_type}"]
    elif gpu.count > hardware.slots:
        problems["gpu_config.count"] = [f"this cluster has {hardware.slots}"]
    if hardware.base_models is not None and base_model not in hardware.base_models:
        problems["hyperparameters.base_model"] = [f"this cluster has {', '.join(hardware.base_models) or 'none'}"]
    if problems:
        raise Unsupported(problems)
    if free_bytes < LEAST_FREE_BYTES:
        raise DiskFull
    free = [device for device in range(hardware.slots) if device not in taken]
    if len(free) < gpu.count:
        raise NoCapacity({"free_gpus": len(free)})
    return tuple(free[: gpu.count])


def submitted(run_id: str, request: SubmitRun, devices: tuple[int, ...], simulated: bool) -> Run:
    """A new run: its data set comes first."""
    status = RunStatus(
        external_job_id=run_id,
        job_id=request.job_id,
        attempt=request.attempt,
        status="initializing",
        stage="downloading",
        progress=0,
    )
    return _enter(Run(request=request, status=status, devices=devices, simulated=simulated), "downloading")


def launch(run: Run, now: datetime, max_restarts: int) -> Run:
    """What to do with a run that has no trainer: begin, resume, or end it. Billing starts with the first trainer."""
    if run.cancelling:
        return _finish(run, "cancelled", now)
    if run.status.started_at is None:
        return _enter(_update(run, started_at=now), "loading")
    if run.interrupted:
        return _enter(run.model_copy(update={"interrupted": False}), "loading")
    if run.restarts < max_restarts:
        return _enter(run.model_copy(update={"restarts": run.restarts + 1}), "loading")
    return fail(run, RUN_LOST, now)


def hear(run: Run, report: Report, files: tuple[ClusterFile, ...], now: datetime) -> Run:
    """The run after its trainer's `report`; `files` are those a completed run left."""
    match report:
        case StageReport():
            return _enter(run, report.stage)
        case PlanReport():
            return _update(run, status="running", total_steps=report.total_steps, total_epochs=report.total_epochs)
        case PointsReport():
            return _measure(run, report)
        case FinishedReport():
            return _end(run, report, files, now)
        case FailedReport():
            return fail(run, report.error, now)
        case _:
            return run


def cancel(run: Run) -> Run:
    """The run shall save and stop."""
    return run if run.cancelling else _enter(run.model_copy(update={"cancelling": True}), "cancelling")


def interrupt(run: Run) -> Run:
    """The trainer is stopped and the run goes on later."""
    return run if run.interrupted else _enter(run.model_copy(update={"interrupted": True}), "interrupted")


def fail(run: Run, error: JobError, now: datetime) -> Run:
    """The run cannot go on."""
    return _finish(run, "failed", now, error=error, error_message=error.message)


def _enter(run: Run, stage: str) -> Run:
    """A stage belongs to `running` unless it comes before the training; a run that was running stays so."""
    training = run.status.status == "running" or stage in {"training", "evaluating", "saving"}
    shown = f"{stage} (simulated)" if run.simulated else stage
    return _update(run, stage=shown, status="running" if training else "initializing")


def _end(run: Run, report: FinishedReport, files: tuple[ClusterFile, ...], now: datetime) -> Run:
    run = _update(run, trained_tokens=report.trained_tokens)
    if report.outcome == "completed":
        run = run.model_copy(update={"files": files, "metadata": report.metadata})
        return _finish(run, "completed", now, progress=100)
    return _finish(run, "cancelled", now) if run.cancelling else interrupt(run)


def _measure(run: Run, report: PointsReport) -> Run:
    changes: dict[str, object] = {"trained_tokens": report.trained_tokens, "eta_seconds": report.eta_seconds}
    if report.points:
        last = report.points[-1]
        total = run.status.total_steps
        changes |= {"metrics": last, "current_step": last.step, "current_epoch": last.epoch}
        changes["progress"] = min(100.0, 100 * last.step / total) if total else 0.0
    return _update(run, **changes)


def _finish(run: Run, state: RunState, now: datetime, **changes: object) -> Run:
    return _update(_enter(run, state), status=state, finished_at=now, eta_seconds=None, **changes)


def _update(run: Run, **changes: object) -> Run:
    return run.model_copy(update={"status": run.status.model_copy(update=changes)})
