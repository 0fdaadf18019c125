"""The list of jobs: what it shows, how it is narrowed down, and what that costs."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.database import Pool
from tests.services.api.conftest import User, statements, submission, validated_dataset

MANY = """
INSERT INTO jobs (id, user_id, name, preset_id, gpu, submitted, spec, pricing, estimated_cost, dataset, planned_steps,
                  planned_epochs, queued_at, status, attempt, seq, metrics)
SELECT gen_random_uuid(), owner, 'job ' || number, preset_id, gpu, submitted, spec, pricing, estimated_cost, dataset,
    planned_steps, planned_epochs, queued_at, CASE WHEN number % 50 = 0 THEN 'running' ELSE 'queued' END, attempt, seq,
    metrics
FROM jobs, generate_series(1, 250) AS number, unnest($1::uuid[]) AS owner
"""


async def submitted(user: User, dataset_id: UUID, **changes: Any) -> UUID:
    answer = await user.post("/api/jobs", json=submission(dataset_id, **changes))
    assert answer.status_code == 201, answer.text
    return UUID(answer.json()["data"]["id"])


async def names(user: User, **params: Any) -> list[str]:
    page = (await user.get("/api/jobs", params=params)).json()["data"]
    assert page["pagination"]["total"] == len(page["jobs"])
    return [job["name"] for job in page["jobs"]]


@pytest.fixture
async def four(ada: User, pool: Pool) -> dict[str, UUID]:
    """Jobs by their names: two data sets, three statuses, four days, the newest named first."""
    shop = await validated_dataset(pool, ada, name="Shop replies")
    bikes = await validated_dataset(pool, ada, name="Bikes_100%")
    jobs = {}
    for days, (name, dataset_id, status) in enumerate(
        [("d", bikes, "failed"), ("c", shop, "running"), ("b", bikes, "completed"), ("A_b%", shop, "completed")]
    ):
        jobs[name] = await submitted(ada, dataset_id, name=name)
        await pool.execute(
            "UPDATE jobs SET status = $2, queued_at = $3 WHERE id = $1",
            jobs[name], status, utc_now().replace(hour=12) - timedelta(days=3 - days),
        )  # fmt: skip
    return jobs


async def test_jobs_come_newest_first_in_pages_with_their_data_sets(ada: User, eve: User, pool: Pool, four: Any):
    page = (await ada.get("/api/jobs", params={"page": 2, "limit": 3})).json()["data"]

    assert [(job["name"], job["dataset"]["name"]) for job in page["jobs"]] == [("d", "Bikes_100%")]
    assert page["pagination"] == {"page": 2, "limit": 3, "total": 4, "totalPages": 2}
    assert await names(ada) == ["A_b%", "b", "c", "d"]
    assert await names(eve) == []


async def test_a_page_beyond_the_last_is_empty(ada: User, four: Any):
    page = (await ada.get("/api/jobs", params={"page": 1_000_000, "limit": 100})).json()["data"]

    assert page == {"jobs": [], "pagination": {"page": 1_000_000, "limit": 100, "total": 4, "totalPages": 1}}


async def test_several_statuses_can_be_filtered_by(ada: User, four: Any):
    assert await names(ada, status="completed") == ["A_b%", "b"]
    assert await names(ada, status=["failed", "running"]) == ["c", "d"]
    assert await names(ada, status="queued") == []


async def test_jobs_are_filtered_by_data_set(ada: User, eve: User, pool: Pool, four: Any):
    shop = await pool.fetchval("SELECT dataset_id FROM jobs WHERE name = 'c'")

    assert await names(ada, dataset_id=str(shop)) == ["A_b%", "c"]
    assert await names(ada, dataset_id=str(shop), status="running") == ["c"]
    assert await names(eve, dataset_id=str(shop)) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a_b", ["A_b%"]),
        ("%", ["A_b%", "b", "d"]),
        ("_", ["A_b%", "b", "d"]),
        ("B", ["A_b%", "b", "d"]),
        ("shop", ["A_b%", "c"]),
        ("nothing", []),
        ("\\", []),
        ("' OR true --", []),
        ("", ["A_b%", "b", "c", "d"]),
    ],
)
async def test_a_text_is_looked_for_in_names(ada: User, four: Any, text: str, found: list[str]):
    assert await names(ada, q=text) == found


async def test_an_id_may_be_looked_for_by_its_beginning(ada: User, four: dict[str, UUID]):
    assert await names(ada, q=str(four["c"])[:-1].upper()) == ["c"]
    assert await names(ada, q=str(four["c"])[3:]) == []


async def test_a_range_of_time_includes_both_ends(ada: User, pool: Pool, four: Any):
    today = utc_now().date()
    moment = await pool.fetchval("SELECT queued_at FROM jobs WHERE name = 'c'")

    assert await names(ada, created_from=str(today - timedelta(days=1))) == ["A_b%", "b"]
    assert await names(ada, created_to=str(today - timedelta(days=2))) == ["c", "d"]
    assert await names(ada, created_from=moment.isoformat(), created_to=moment.isoformat()) == ["c"]
    assert await names(ada, created_from=str(today), created_to=str(today - timedelta(days=1))) == []


@pytest.mark.parametrize(
    ("path", "params", "wrong"),
    [
        ("", {"status": "sleeping", "page": 0, "limit": 101, "colour": "red"}, {"status.0", "page", "limit", "colour"}),
        ("", {"dataset_id": "x", "created_from": "soon"}, {"dataset_id", "created_from"}),
        ("", {"created_to": "9" * 50}, {"created_to"}),
        ("", {"q": "a\x00"}, {"q"}),
        ("", {"q": "x" * 201}, {"q"}),
        ("", {"page": 10**30}, {"page"}),
        ("", {"status": ["queued"] * 11}, {"status"}),
        ("/{job}/metrics", {"from": -1, "to": "x", "max_points": 1, "step": 3}, {"from", "to", "max_points", "step"}),
        ("/{job}/metrics", {"from": "nan", "first": 1}, {"from", "first"}),
        ("/{job}/events", {"after": -1, "limit": 1000, "before": 3}, {"after", "limit", "before"}),
    ],
)  # fmt: skip
async def test_every_invalid_parameter_is_named(ada: User, path: str, params: dict[str, Any], wrong: set[str]):
    answer = await ada.get(f"/api/jobs{path.format(job=new_id())}", params=params)

    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert answer.json()["details"].keys() == wrong


@pytest.mark.parametrize(
    "params", [{}, {"status": ["running"]}, {"status": ["running", "failed"]}, {"dataset_id": "the job's"}, {"page": 3}]
)
async def test_a_page_is_one_statement_that_uses_an_index(
    ada: User, eve: User, pool: Pool, four: Any, params: dict[str, Any]
):
    await pool.execute(MANY, [ada.id, *[eve.id] * 7])
    await pool.execute("VACUUM ANALYZE jobs")
    if "dataset_id" in params:
        params["dataset_id"] = str(await pool.fetchval("SELECT dataset_id FROM jobs WHERE name = 'c'"))
    async with statements(pool) as sent:
        assert (await ada.get("/api/jobs", params=params)).status_code == 200

    reads = [(query, values) for query, values in sent if "FROM jobs" in query]
    assert len(reads) == 1
    query, values = reads[0]
    plan = await pool.fetchval(f"EXPLAIN (FORMAT JSON) {query}", *values)
    assert "Index" in plan
    assert "Seq Scan" not in plan


@pytest.mark.parametrize("number", ["4.0", "1_0", "+4", " 4", "\uff14", "1e0", "", "9" * 5000])
async def test_numbers_of_queries_are_digits_only(ada: User, pool: Pool, number: str):
    job_id = await submitted(ada, await validated_dataset(pool, ada))
    refused = [
        ("/api/jobs", "limit"),
        ("/api/datasets", "page"),
        (f"/api/jobs/{job_id}/metrics", "from"),
        (f"/api/jobs/{job_id}/events", "after"),
        ("/api/admin/audit", "page"),
        ("/v1/files", "limit"),
        ("/v1/fine_tuning/jobs", "limit"),
        ("/v1/webhook_endpoints", "limit"),
    ]
    for path, name in refused:
        answer = await ada.get(path, params={name: number})
        assert answer.status_code == 400, path
        assert "Input should be a whole number" in answer.text, path
