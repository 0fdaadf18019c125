"""Whether the books of all services agree on a finished job: read from their ledgers, not from their words."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from brightrun.contracts.events import Pricing
from brightrun.local.first_user import FirstUser
from tests.flows.house import House, Json, eventually


def audit(house: House, user: FirstUser, job: Json) -> None:
    """One run, one end, one artifact, every point once, a ledger that adds up, one notification of each kind."""
    job_id = UUID(job["id"])
    eventually(house.outboxes_are_empty)
    runs = house.cluster_runs(job["id"])
    assert len(runs) == 1, "one run on the cluster"
    _audit_attempts(house, job_id)
    _audit_points(house, user, job["id"])
    _audit_ledger(house, user, job, runs[0])
    _audit_notifications(house, job_id)
    artifacts = house.rows("artifacts", "SELECT status FROM models WHERE job_id = $1", job_id)
    assert [row["status"] for row in artifacts] == ["stored"], "one artifact, whole"


def _audit_attempts(house: House, job_id: UUID) -> None:
    attempts = house.rows("scheduler", "SELECT state, outcome FROM attempts WHERE job_id = $1", job_id)
    assert attempts == [{"state": "over", "outcome": "completed"}]


def _audit_points(house: House, user: FirstUser, job_id: str) -> None:
    emitted = sorted(set(house.emitted_steps(job_id)))
    assert emitted, "the run measured something"

    def all_stored() -> bool:
        points = user.get(f"/api/jobs/{job_id}/metrics?max_points=2000")["points"]
        return sorted({point["step"] for point in points}) == emitted

    eventually(all_stored)


def _audit_ledger(house: House, user: FirstUser, job: Json, run: Json) -> None:
    def records() -> list[Json] | None:
        found = house.rows("tracker", "SELECT cost_type, amount FROM cost_records WHERE job_id = $1", UUID(job["id"]))
        return found if len(found) == 2 else None

    amounts = {record["cost_type"]: record["amount"] for record in eventually(records)}
    pricing = Pricing.model_validate_json(
        house.rows("api", "SELECT pricing FROM jobs WHERE id = $1", UUID(job["id"]))[0]["pricing"]
    )
    started, finished = (datetime.fromisoformat(run["status"][name]) for name in ("started_at", "finished_at"))
    assert amounts["compute"] == pricing.compute_cost(started, finished), "cost is rate times time"
    assert amounts["storage"] == pricing.storage
    shown = Decimal(str(user.get(f"/api/jobs/{job['id']}")["job"]["final_cost"]))
    assert shown == sum(amounts.values()), "the job shows what the ledger holds"


def _audit_notifications(house: House, job_id: UUID) -> None:
    query = "SELECT type FROM notifications WHERE metadata->>'job_id' = $1 ORDER BY type"
    wanted = ["artifact_ready", "job_completed", "job_queued", "job_started"]
    eventually(lambda: [row["type"] for row in house.rows("notifier", query, str(job_id))] == wanted)
