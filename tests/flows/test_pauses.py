"""A job is paused, resumed and ended by a limit on the whole platform, with the real trainer."""

from decimal import Decimal
from uuid import UUID

from tests.flows.house import House, Json, eventually, follow, running_for_a_while, stored, submit


def test_a_paused_job_goes_on_where_it_was_and_its_parts_add_up(house: House) -> None:
    user = house.new_user()
    job = submit(user, user.upload_dataset(house.sample(40)), max_steps=60, batch_size=4)
    follow(user, job["id"], running_for_a_while)
    user.post(f"/api/jobs/{job['id']}/pause", {})
    paused = follow(user, job["id"], lambda one: one["status"] == "paused", within=30)
    assert paused["current_step"] > 0
    cost = paused["current_cost"]
    assert user.get(f"/api/jobs/{job['id']}")["job"]["current_cost"] == cost, "it costs nothing meanwhile"
    user.post(f"/api/jobs/{job['id']}/resume", {})
    done = follow(user, job["id"], stored)

    runs = sorted(house.cluster_runs(job["id"]), key=lambda run: run["request"]["attempt"])
    assert [(run["request"]["attempt"], run["status"]["status"]) for run in runs] == [
        (1, "cancelled"),
        (2, "completed"),
    ]
    assert runs[1]["status"]["current_step"] == 60

    def records() -> list[Json] | None:
        query = "SELECT attempt, cost_type, amount FROM cost_records WHERE job_id = $1 ORDER BY attempt"
        found = house.rows("tracker", query, UUID(job["id"]))
        return found if len(found) == 3 else None

    ledger = eventually(records)
    assert [(one["cost_type"], one["attempt"]) for one in ledger] == [("storage", 0), ("compute", 1), ("compute", 2)]
    assert sum(one["amount"] for one in ledger) == Decimal(str(done["final_cost"]))
    points = user.get(f"/api/jobs/{job['id']}/metrics?max_points=2000")["points"]
    assert max(point["step"] for point in points) == 60
