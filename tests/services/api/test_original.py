"""The gateway answers with every field that the original's clients read; peer services' own fields have tests there."""

from typing import Any

from brightrun.runtime.database import Pool
from tests.builders import job_completed, job_started
from tests.contracts.original import COSTS, ESTIMATE, JOB, PAGINATION, differences
from tests.services.api.conftest import User, submission, validated_dataset
from tests.services.api.fakes import FakeArtifacts
from tests.services.api.test_jobs import queued_job
from tests.services.api.test_projection import tell


async def read(user: User, path: str) -> Any:
    answer = await user.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_a_job_has_all_fields_of_the_original_at_every_time(ada: User, pool: Pool):
    job = await queued_job(pool, ada)
    assert differences(JOB, job) == []
    assert (job["user_id"], job["created_at"]) == (str(ada.id), job["queued_at"])
    assert (job["external_job_id"], job["error_stack"]) == (None, None)

    for attempt, name in ((2, "run-b"), (1, "run-a")):
        await tell(pool, job_started(job_id=job["id"], attempt=attempt, external_job_id=name))
    await tell(pool, job_completed(job_id=job["id"], attempt=2))
    ended = (await read(ada, f"/api/jobs/{job['id']}"))["job"]
    assert differences(JOB, ended) == []
    assert ended["external_job_id"] == "run-b"
    assert differences({"jobs": [JOB], "pagination": PAGINATION}, await read(ada, "/api/jobs")) == []


async def test_an_estimate_has_all_fields_of_the_original(ada: User, pool: Pool):
    spec = {"batch_size": 4, "epochs": 3, "learning_rate": 0.0002, "rank": 16}
    body = submission(await validated_dataset(pool, ada), hyperparameters=spec)
    answer = await ada.post("/api/jobs/estimate", json={name: body[name] for name in body if name != "preset_id"})

    assert differences(ESTIMATE, answer.json()["data"]) == []


async def test_a_model_has_the_preset_of_its_job(ada: User, pool: Pool, artifacts: FakeArtifacts):
    job = await queued_job(pool, ada)
    trained = artifacts.hold_model(ada.id, job_id=job["id"], configuration={"hyperparameters": {}})
    orphan = artifacts.hold_model(ada.id, job_id=str(ada.id), configuration={"hyperparameters": {}})

    presets = {model["id"]: model["configuration"]["preset_id"] for model in (await read(ada, "/api/models"))["models"]}
    assert presets == {str(trained): "fast", str(orphan): None}
    assert (await read(ada, f"/api/models/{trained}"))["configuration"]["preset_id"] == "fast"


async def test_a_notification_has_its_user(ada: User):
    notifications = (await read(ada, "/api/notifications"))["notifications"]

    assert {notification["user_id"] for notification in notifications} == {str(ada.id)}


async def test_costs_have_the_originals_shape(ada: User):
    shape = {name: COSTS[name] for name in ("total_cost", "cost_by_type", "chart_data")}

    assert differences(shape, await read(ada, "/api/costs")) == []
