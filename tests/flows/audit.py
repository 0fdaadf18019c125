"""Checks that the records of all services agree on a finished job."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from brightrun.contracts.events import Pricing
from brightrun.local.first_user import FirstUser
from tests.flows.live_platform import Json, LivePlatform
from tests.waiting import wait_until


def audit(platform: LivePlatform, user: FirstUser, job: Json) -> None:
    """One run, one end, one artifact, every point once, a ledger that adds up, one notification of each type."""
    job_id = UUID(job["id"])
    wait_until(platform.outboxes_are_empty)
    runs = platform.cluster_runs(job["id"])
    assert len(runs) == 1, "one run on the cluster"
    _audit_attempts(platform, job_id)
    _audit_points(platform, user, job["id"])
    _audit_ledger(platform, user, job, runs[0])
    _audit_notifications(platform, job_id)
    artifacts = platform.rows("artifacts", "SELECT status FROM models WHERE job_id = $1 AND step IS NULL", job_id)
    assert [row["status"] for row in artifacts] == ["stored"], "one artifact, whole"


def _audit_attempts(platform: LivePlatform, job_id: UUID) -> None:
    attempts = platform.rows("scheduler", "SELECT state, outcome FROM attempts WHERE job_id = $1", job_id)
    assert attempts == [{"state": "over", "outcome": "completed"}]


def _audit_points(platform: LivePlatform, user: FirstUser, job_id: str) -> None:
    emitted = sorted(set(platform.emitted_steps(job_id)))
    assert emitted, "the run measured something"

    def all_stored() -> bool:
        points = user.get(f"/api/jobs/{job_id}/metrics?max_points=2000")["points"]
        return sorted({point["step"] for point in points}) == emitted

    wait_until(all_stored)


def _audit_ledger(platform: LivePlatform, user: FirstUser, job: Json, run: Json) -> None:
    def records() -> list[Json] | None:
        rows = platform.rows("tracker", "SELECT cost_type, amount FROM cost_records WHERE job_id = $1", UUID(job["id"]))
        return rows if len(rows) == 2 else None

    amounts = {record["cost_type"]: record["amount"] for record in wait_until(records)}
    pricing = Pricing.model_validate_json(
        platform.rows("api", "SELECT pricing FROM jobs WHERE id = $1", UUID(job["id"]))[0]["pricing"]
    )
    started, finished = (datetime.fromisoformat(run["status"][name]) for name in ("started_at", "finished_at"))
    assert amounts["compute"] == pricing.compute_cost(started, finished), "cost is rate times time"
    assert amounts["storage"] == pricing.storage
    shown = Decimal(str(user.get(f"/api/jobs/{job['id']}")["job"]["final_cost"]))
    assert shown == sum(amounts.values()), "the job shows what the ledger holds"


def _audit_notifications(platform: LivePlatform, job_id: UUID) -> None:
    query = "SELECT type FROM notifications WHERE metadata->>'job_id' = $1 ORDER BY type"
    types = ["artifact_ready", "job_completed", "job_queued", "job_started"]
    wait_until(lambda: [row["type"] for row in platform.rows("notifier", query, str(job_id))] == types)
