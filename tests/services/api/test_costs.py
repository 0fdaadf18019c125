"""Costs in groups, compared with their estimates, and as a file for a spreadsheet."""

import csv
import io
from typing import Any
from uuid import UUID

import pytest

from brightrun.contracts.spreadsheets import safe_cell
from brightrun.contracts.values import new_id
from brightrun.runtime.database import Pool
from tests.builders import adapter_ref
from tests.services.api.conftest import User, submission, validated_dataset
from tests.services.api.fakes import FakeArtifacts, FakeTracker

WEEK = {"start_date": "2026-11-20", "end_date": "2026-11-26"}
GONE = new_id()
MODEL = adapter_ref().name


async def _groups(user: User, **params: str) -> list[dict[str, Any]]:
    answer = await user.get("/api/costs", params=WEEK | params)
    assert answer.status_code == 200, answer.text
    groups: list[dict[str, Any]] = answer.json()["data"]["groups"]
    return groups


def _spent(key: object, compute: str, storage: str = "0.0000") -> dict[str, str]:
    return {"key": str(key), "compute": compute, "storage": storage}


@pytest.fixture
async def jobs(ada: User, pool: Pool, tracker: FakeTracker, artifacts: FakeArtifacts) -> list[UUID]:
    """Completed jobs with a model and with a deleted one, and a cancelled job; a deleted job cost something too."""
    shop = await validated_dataset(pool, ada, name="Shop")
    ids = []
    for name, status in (("first", "completed"), ("=cmd()", "completed"), ("third", "cancelled")):
        body = submission(shop, name=name)
        ids.append(UUID((await ada.post("/api/jobs", json=body)).json()["data"]["id"]))
        await pool.execute("UPDATE jobs SET status = $2, estimated_cost = 2 WHERE id = $1", ids[-1], status)
    model_id = artifacts.hold_adapter(ada.id)
    for job_id, artifact_id in ((ids[0], model_id), (ids[1], GONE)):
        artifact = {"artifact_id": str(artifact_id), "storage_cost": "0.5"}
        await pool.execute("UPDATE jobs SET artifact = $2 WHERE id = $1", job_id, artifact)
    tracker.spent = [_spent(ids[0], "1.2500", "0.5000"), _spent(ids[1], "2.0000"), _spent(ids[2], "0.1000")]
    tracker.spent.append(_spent(GONE, "0.0500"))
    return ids


async def test_each_day_of_the_period_has_a_group(ada: User, tracker: FakeTracker):
    tracker.spent = [_spent("2026-11-21", "1.0000", "0.5000"), _spent("2026-11-26", "0.2500")]
    groups = await _groups(ada, group_by="day")
    assert [group["key"] for group in groups] == [f"2026-11-{day}" for day in range(20, 27)]
    assert [group["amount"] for group in groups] == [0, 1.5, 0, 0, 0, 0, 0.25]
    assert (groups[1]["compute"], groups[1]["storage"]) == (1.0, 0.5)


async def test_costs_are_grouped_by_type(ada: User, tracker: FakeTracker):
    tracker.spent = [_spent("2026-11-21", "1.0000", "0.5000"), _spent("2026-11-26", "0.2500")]
    assert [(group["key"], group["amount"]) for group in await _groups(ada, group_by="type")] == [
        ("compute", 1.25),
        ("storage", 0.5),
    ]


@pytest.mark.usefixtures("jobs")
async def test_costs_of_data_sets_are_compared_with_their_estimates(ada: User):
    shop, deleted = await _groups(ada, group_by="dataset")
    assert (shop["name"], shop["amount"], shop["jobs"], shop["completed_jobs"]) == ("Shop", 3.85, 3, 2)
    assert (shop["estimated_cost"], shop["actual_cost"]) == (4.0, 3.75)
    assert (deleted["key"], deleted["name"], deleted["amount"]) == (None, "Deleted jobs", 0.05)
    assert (deleted["completed_jobs"], deleted["estimated_cost"], deleted["actual_cost"]) == (0, 0, 0)


@pytest.mark.usefixtures("jobs")
async def test_jobs_without_a_model_are_groups_of_their_own(ada: User, artifacts: FakeArtifacts):
    groups = await _groups(ada, group_by="model")
    assert [(group["key"], group["name"], group["amount"]) for group in groups] == [
        (None, "Deleted models", 2.0),
        (str(next(iter(artifacts.models))), MODEL, 1.75),
        (None, "No model", 0.1),
        (None, "Deleted jobs", 0.05),
    ]


@pytest.mark.usefixtures("jobs")
async def test_names_of_anothers_jobs_are_not_told(eve: User):
    assert [group["name"] for group in await _groups(eve, group_by="dataset")] == ["Deleted jobs"]


async def test_every_record_is_exported_and_no_name_is_a_formula(ada: User, jobs: list[UUID], tracker: FakeTracker):
    tracker.ledger = [
        {
            "id": str(new_id()),
            "job_id": str(job_id),
            "attempt": 1,
            "cost_type": "compute",
            "amount": "0.0972",
            "recorded_at": "2026-11-24T12:00:00Z",
            "details": {},
        }
        for job_id in (*jobs, GONE, jobs[0])
    ]
    answer = await ada.get("/api/costs", params=WEEK | {"format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="costs-2026-11-20-2026-11-26.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["job"], row["dataset"], row["model"]) for row in rows] == [
        ("first", "Shop", MODEL),
        ("'=cmd()", "Shop", ""),
        ("third", "Shop", ""),
        ("", "", ""),
        ("first", "Shop", MODEL),
    ]
    assert {row["amount_usd"] for row in rows} == {"0.0972"}


async def test_an_empty_ledger_is_a_file_with_a_head(ada: User):
    answer = await ada.get("/api/costs", params={"format": "csv"})
    assert answer.text == "recorded_at,cost_type,amount_usd,attempt,job_id,job,dataset,model\r\n"


async def test_an_export_that_cannot_begin_answers_503(ada: User, tracker: FakeTracker):
    tracker.unavailable = True
    assert (await ada.get("/api/costs", params={"format": "csv"})).status_code == 503


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"group_by": "user"}, "group_by"),
        ({"format": "xlsx"}, "format"),
        ({"group_by": "day", "start_date": "1970-01-01", "end_date": "2026-01-01"}, "group_by"),
    ],
)
async def test_what_cannot_be_grouped_is_named(ada: User, params: dict[str, str], field: str):
    answer = await ada.get("/api/costs", params=params)
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert list(answer.json()["details"]) == [field]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@A1", "\tx", "\r=1", " =1", "  @x"])
def test_a_cell_is_no_formula(text: str):
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a=1", "Bikes -10 %", "1.5"])
def test_other_cells_stay_as_they_are(text: str):
    assert safe_cell(text) == text
