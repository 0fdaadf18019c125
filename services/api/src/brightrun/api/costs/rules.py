"""Periods, groups, and what a spreadsheet may be given."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from brightrun.api.costs.models import CostGroup, JobLabels, LedgerRecord, Period, Spent, Window
from brightrun.api.http.parameters import first_moment, last_moment

LENGTHS: Mapping[Period, timedelta] = {
    "week": timedelta(days=7),
    "month": timedelta(days=30),
    "year": timedelta(days=365),
}
MAX_DAYS = 3660
"""Of a period that is grouped by day: each day has a group."""

CSV_HEAD = ("recorded_at", "cost_type", "amount_usd", "attempt", "job_id", "job", "dataset", "model")
DELETED_MODEL = (None, "Deleted models")


def last(period: Period, now: datetime) -> Window:
    """The period that ends now."""
    return Window(now - LENGTHS[period], now)


def between(start: str, end: str) -> Window:
    """From `start` to `end`, both included; a bare end date includes its whole day. Raises ValueError."""
    first, until = first_moment(start), last_moment(end)
    if first > until:
        raise ValueError("start_date is after end_date")
    return Window(first, until)


def group_by_day(days: Iterable[Spent], window: Window) -> list[CostGroup]:
    """A group for each day of the window, in UTC; those without costs too. Raises ValueError for too many."""
    spent = {day.key: day for day in days}
    first, last_day = (moment.astimezone(UTC).date() for moment in window)
    if (last_day - first).days >= MAX_DAYS:
        raise ValueError(f"a period that is grouped by day has at most {MAX_DAYS} days")
    keys = [str(first + timedelta(days=number)) for number in range((last_day - first).days + 1)]
    return [_group(key, key, [spent[key]] if key in spent else []) for key in keys]


def group_by_type(days: Sequence[Spent]) -> list[CostGroup]:
    """A group for each type of cost."""
    compute, storage = sum_of(day.compute for day in days), sum_of(day.storage for day in days)
    return [CostGroup("compute", "Compute", compute, Decimal()), CostGroup("storage", "Storage", Decimal(), storage)]


def group_by_dataset(jobs: Iterable[Spent], labels: Mapping[UUID, JobLabels]) -> list[CostGroup]:
    """A group for each data set that was trained on, the dearest first."""
    return _group_jobs(
        jobs, labels, {job_id: (str(job.dataset_id), job.dataset_name) for job_id, job in labels.items()}
    )


def group_by_model(
    jobs: Iterable[Spent], labels: Mapping[UUID, JobLabels], names: Mapping[str, str]
) -> list[CostGroup]:
    """A group for each model, the dearest first; jobs without one are a group of their own."""
    none = (None, "No model")
    named = {model_id: (model_id, name) for model_id, name in names.items()}
    return _group_jobs(
        jobs,
        labels,
        {
            job_id: named.get(str(job.model_id), DELETED_MODEL) if job.model_id else none
            for job_id, job in labels.items()
        },
    )


def _group_jobs(
    jobs: Iterable[Spent], labels: Mapping[UUID, JobLabels], keys: Mapping[UUID, tuple[str | None, str]]
) -> list[CostGroup]:
    members: dict[tuple[str | None, str], list[Spent]] = defaultdict(list)
    for job in jobs:
        members[keys.get(UUID(job.key), (None, "Deleted jobs"))].append(job)
    groups = [_compared(_group(key, name, spent), spent, labels) for (key, name), spent in members.items()]
    return sorted(groups, key=lambda group: (-group.amount, group.name))


def _group(key: str | None, name: str, spent: Iterable[Spent]) -> CostGroup:
    return CostGroup(key, name, sum_of(part.compute for part in spent), sum_of(part.storage for part in spent))


def _compared(group: CostGroup, spent: Sequence[Spent], labels: Mapping[UUID, JobLabels]) -> CostGroup:
    known = [(job, labels[UUID(job.key)]) for job in spent if UUID(job.key) in labels]
    completed = [(job, label) for job, label in known if label.is_completed]
    return replace(
        group,
        jobs=len(spent),
        completed_jobs=len(completed),
        estimated_cost=sum_of(label.estimated_cost for _, label in completed),
        actual_cost=sum_of(job.amount for job, _ in completed),
    )


def sum_of(amounts: Iterable[Decimal]) -> Decimal:
    """The sum, 0 of none."""
    return sum(amounts, Decimal())


def csv_row(record: LedgerRecord, job: JobLabels | None, models: Mapping[str, str]) -> tuple[str, ...]:
    """A line of the export."""
    names = (job.name, job.dataset_name, models.get(str(job.model_id), "")) if job else ("", "", "")
    return (
        record.recorded_at.isoformat(),
        record.cost_type,
        f"{record.amount:.4f}",
        str(record.attempt),
        str(record.job_id),
        *names,
    )
