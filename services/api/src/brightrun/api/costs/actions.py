"""Costs are grouped and exported."""

from collections.abc import AsyncIterator
from typing import Literal
from uuid import UUID

from pydantic import TypeAdapter

from brightrun.api.costs import queries, rules
from brightrun.api.costs.models import CostGroup, Grouping, LedgerRecord, Spent, Window
from brightrun.api.http.clients import ServiceClients
from brightrun.contracts.spreadsheets import write_csv
from brightrun.runtime.database import Pool

_SPENT = TypeAdapter(list[Spent])
_RECORDS = TypeAdapter(list[LedgerRecord])


async def group_costs(
    pool: Pool, clients: ServiceClients, user_id: UUID, window: Window, grouping: Grouping
) -> list[CostGroup]:
    """The user's costs of the window in groups. Raises ValueError for too many days."""
    spent = await _read_spent(clients, user_id, window, "day" if grouping in ("day", "type") else "job")
    match grouping:
        case "day":
            return rules.group_by_day(spent, window)
        case "type":
            return rules.group_by_type(spent)
    labels = await queries.find_labels(pool, user_id, [UUID(job.key) for job in spent])
    if grouping == "model":
        return rules.group_by_model(spent, labels, await _model_names(clients, user_id))
    return rules.group_by_dataset(spent, labels)


async def _model_names(clients: ServiceClients, user_id: UUID) -> dict[str, str]:
    return {model["id"]: model["name"] for model in await clients.artifacts.list_all_models(user_id)}


async def _read_spent(clients: ServiceClients, user_id: UUID, window: Window, by: Literal["day", "job"]) -> list[Spent]:
    answer = await clients.tracker.get("/costs/groups", user_id, by=by, **window.params())
    return _SPENT.validate_python(answer["groups"])


async def export_costs(pool: Pool, clients: ServiceClients, user_id: UUID, window: Window) -> AsyncIterator[str]:
    """Every record of the window as CSV, oldest first, page by page."""
    after: dict[str, str] = {}
    head, models = [rules.CSV_HEAD], await _model_names(clients, user_id)
    while True:
        answer = await clients.tracker.get("/costs/records", user_id, **window.params(), **after)
        records = _RECORDS.validate_python(answer["records"])
        labels = await queries.find_labels(pool, user_id, {record.job_id for record in records})
        yield write_csv([*head, *(rules.csv_row(record, labels.get(record.job_id), models) for record in records)])
        if answer["next"] is None:
            return
        after, head = {"after_time": answer["next"]["recorded_at"], "after_id": answer["next"]["id"]}, []
