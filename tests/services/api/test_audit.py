"""Every change of an administrator is in the audit log, with who made it and how it ended."""

from uuid import UUID

from brightrun.api.accounts.actions import recorded_change
from brightrun.api.accounts.models import User as Account
from brightrun.contracts.values import new_id, utc_now
from brightrun.runtime.database import Pool
from tests.services.api.conftest import PASSWORD, User
from tests.services.api.fakes import FakeScheduler


async def entries(user: User, **params: int) -> list[dict[str, object]]:
    answer = await user.get("/api/admin/audit", params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, object]] = answer.json()["data"]["entries"]
    return found


async def test_each_change_of_the_installation_is_recorded_with_its_admin(ada: User, eve: User):
    await ada.patch("/api/auth/me", json={"name": "Ada"})
    body = {"email": "grace@example.com", "password": PASSWORD}
    grace = (await ada.post("/api/admin/users", json=body)).json()["data"]["id"]
    changes = [
        ("PATCH", f"users/{grace}", {"role": "admin"}, "user.change", grace),
        ("POST", f"users/{grace}/password", {"password": PASSWORD}, "user.reset_password", grace),
        ("PUT", "prices/gpus/B200", {"price_per_hour": 9, "tokens_per_second": 5}, "price.gpu", "B200"),
        ("PUT", "prices/base-models/own/model", {"aliases": ["own"]}, "price.base_model", "own/model"),
        ("PUT", "prices/storage", {"amount": 2}, "price.fee", "storage"),
        ("POST", "clusters/tiny/drain", None, "cluster.drain", "tiny"),
        ("POST", "clusters/tiny/undrain", None, "cluster.undrain", "tiny"),
        ("PUT", f"users/{grace}/share", {"weight": 2}, "user.share", grace),
    ]
    for method, path, change, _, _ in changes:
        assert (await ada.request(method, f"/api/admin/{path}", json=change)).is_success, path
    found = (await entries(ada, limit=100))[::-1]

    expected = [("user.create", grace), *((action, target) for *_, action, target in changes)]
    assert [(entry["action"], entry["target"]) for entry in found] == expected
    assert {(entry["user_id"], entry["email"], entry["outcome"]) for entry in found} == {
        (str(ada.id), "user1@example.com", "done")
    }
    assert {entry["name"] for entry in found} == {"Ada"}
    assert found[1]["details"] == {"role": "admin"}
    gpu, fee = found[3]["details"], found[5]["details"]
    assert gpu == {"terms": {"price_per_hour": 9.0, "tokens_per_second": 5}, "active": True}
    assert fee == {"terms": {"amount": 2.0}, "active": True}
    assert PASSWORD not in str(found)
    assert (await eve.get("/api/admin/audit")).status_code == 403


async def test_the_audit_log_has_pages(ada: User):
    for amount in range(1, 4):
        await ada.put("/api/admin/prices/storage", json={"amount": amount})

    newest, oldest = [await entries(ada, limit=1, page=page) for page in (1, 3)]
    assert [entry["details"]["terms"]["amount"] for entry in (*newest, *oldest)] == [3, 1]


async def test_a_change_that_is_refused_is_recorded_with_the_error(ada: User, scheduler: FakeScheduler):
    answer = await ada.put(f"/api/admin/jobs/{new_id()}/priority", json={"priority": "high"})

    assert answer.status_code == 404
    (entry,) = await entries(ada)
    assert (entry["action"], entry["details"], entry["outcome"]) == (
        "job.priority",
        {"priority": "high"},
        answer.json()["code"],
    )


async def test_a_change_whose_end_is_unknown_is_recorded_all_the_same(ada: User, pool: Pool):
    admin = Account(UUID(str(ada.id)), "ada@example.com", "Ada", "admin", utc_now())
    change = recorded_change(pool, admin, "cluster.drain", "local")
    await change.__aenter__()

    (entry,) = await entries(ada)
    assert (entry["action"], entry["outcome"]) == ("cluster.drain", None)
    assert not await change.__aexit__(RuntimeError, RuntimeError(), None)
    assert [entry["outcome"] for entry in await entries(ada)] == ["internal_error"]
