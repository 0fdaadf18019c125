"""A job is paused and resumed on the whole platform, with the real trainer."""

from decimal import Decimal
from uuid import UUID

from tests.flows.live_platform import Json, LivePlatform, has_artifact, has_trained_some_steps, submit, wait_for_job
from tests.waiting import wait_until


def test_a_resumed_job_continues_from_its_checkpoint_and_its_costs_add_up(platform: LivePlatform) -> None:
    user = platform.new_user()
    job = submit(user, user.upload_dataset(platform.sample(40)), max_steps=40, batch_size=4)
    wait_for_job(user, job["id"], has_trained_some_steps)
    user.post(f"/api/jobs/{job['id']}/pause", {})
    paused = wait_for_job(user, job["id"], lambda job: job["status"] == "paused")
    assert paused["current_step"] > 0
    cost = paused["current_cost"]
    assert user.get(f"/api/jobs/{job['id']}")["job"]["current_cost"] == cost, "it costs nothing meanwhile"
    user.post(f"/api/jobs/{job['id']}/resume", {})
    done = wait_for_job(user, job["id"], has_artifact)

    runs = sorted(platform.cluster_runs(job["id"]), key=lambda run: run["request"]["attempt"])
    assert [(run["request"]["attempt"], run["status"]["status"]) for run in runs] == [
        (1, "cancelled"),
        (2, "completed"),
    ]
    assert runs[1]["status"]["current_step"] == 40

    def records() -> list[Json] | None:
        query = "SELECT attempt, cost_type, amount FROM cost_records WHERE job_id = $1 ORDER BY attempt"
        rows = platform.rows("tracker", query, UUID(job["id"]))
        return rows if len(rows) == 3 else None

    ledger = wait_until(records)
    assert [(record["cost_type"], record["attempt"]) for record in ledger] == [
        ("storage", 0),
        ("compute", 1),
        ("compute", 2),
    ]
    assert sum(record["amount"] for record in ledger) == Decimal(str(done["final_cost"]))
    points = user.get(f"/api/jobs/{job['id']}/metrics?max_points=2000")["points"]
    assert max(point["step"] for point in points) == 40
