"""A job is paused, resumed and ended by a limit on the whole platform, with the real trainer."""

from decimal import Decimal
from uuid import UUID

from tests.flows.house import House, Json, eventually, follow, running_for_a_while, stored, submit


def test_a_paused_job_goes_on_where_it_was_and_its_parts_add_up(house: House) -> None:
    user = house.new_user()
    job = submit(user, user.upload_dataset(house.sample(40)), max_steps=300, batch_size=4)
    follow(user, job["id"], running_for_a_while)
    user.post(f"/api/jobs/{job['id']}/pause", {})
    paused = follow(user, job["id"], lambda one: one["status"] == "paused", within=30)
    assert paused["current_step"] > 0
    cost = paused["current_cost"]
    assert user.get(f"/api/jobs/{job['id']}")["job"]["current_cost"] == cost, "it costs nothing meanwhile"
    user.post(f"/api/jobs/{job['id']}/resume", {})
    import time as _t, json as _j
    for _ in range(24):
        _t.sleep(5); now = user.get(f"/api/jobs/{job['id']}")["job"]; print("NOW", now["status"], now["current_stage"], now["current_step"], now["artifact_id"], now["error_message"], flush=True)
    print("EV", [ (e["type"], e["message"]) for e in user.get(f"/api/jobs/{job['id']}/events")["events"]])
    print("ATT", house.rows("scheduler", "SELECT attempt, state, outcome, cluster, resume_from, external_job_id, stop_sent, error FROM attempts WHERE job_id = $1", UUID(job["id"])))
    print("CL", [r["status"] for r in house.cluster_runs(job["id"])])
    done = follow(user, job["id"], stored)

    runs = [run["status"] for run in house.cluster_runs(job["id"])]
    assert [(run["attempt"], run["status"]) for run in runs] == [(1, "cancelled"), (2, "completed")]
    assert runs[1]["current_step"] == 300

    def records() -> list[Json] | None:
        query = "SELECT attempt, cost_type, amount FROM cost_records WHERE job_id = $1 ORDER BY attempt"
        found = house.rows("tracker", query, UUID(job["id"]))
        return found if len(found) == 3 else None

    ledger = eventually(records)
    assert [(one["cost_type"], one["attempt"]) for one in ledger] == [("storage", 0), ("compute", 1), ("compute", 2)]
    assert sum(one["amount"] for one in ledger) == Decimal(str(done["final_cost"]))
    points = user.get(f"/api/jobs/{job['id']}/metrics?max_points=2000")["points"]
    assert max(point["step"] for point in points) == 300
