"""A full disk stops nothing for good: writes fail meanwhile, and everything drains once there is room."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from brightrun.runtime import loops
from brightrun.runtime.consumer import BACKOFF_SECONDS
from brightrun.runtime.database import DATABASE_DOWN, Pool
from brightrun.runtime.http import create_app
from brightrun.runtime.service import Service
from tests.conftest import SECRET
from tests.waiting import eventually
from tests.wire.conftest import Wire
from tests.wire.ping import new_ping, received, topic_of

TRIES = 3 * (2 + len(BACKOFF_SECONDS))
"""As many as make three messages whose handler fails dead letters."""
FILL = """
DROP SEQUENCE IF EXISTS tries;
CREATE SEQUENCE tries;
DROP FUNCTION IF EXISTS no_space CASCADE;
CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('tries') WHERE TG_TABLE_NAME = 'received';
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
END $$;
CREATE TRIGGER no_space BEFORE INSERT ON received EXECUTE FUNCTION no_space();
CREATE TRIGGER no_space BEFORE DELETE ON outbox EXECUTE FUNCTION no_space()
"""
FREE = "DROP SEQUENCE tries; DROP FUNCTION no_space CASCADE"


async def test_outbox_and_consumer_drain_by_themselves_once_there_is_room(wire: Wire) -> None:
    await wire.pool.execute(FILL)
    await wire.publish(*(new_ping(wire.ping, text) for text in "abc"))
    process = await wire.process(output="/dev/full")
    try:
        await eventually(lambda: wire.pool.fetchval("SELECT last_value > $1 FROM tries", TRIES))
        assert await wire.dead_letters() == []
        await wire.pool.execute(FREE)
        await eventually(lambda: _is_drained(wire.pool))
        assert process.returncode is None
    finally:
        process.kill()
        await process.wait()
    assert sorted(await received(wire.pool)) == ["a", "b", "c"]


async def _is_drained(pool: Pool) -> bool:
    return await pool.fetchval("SELECT count(*) FROM outbox") == 0 and len(await received(pool)) == 3


async def test_a_request_that_cannot_be_stored_answers_503_in_the_json_shape(wire: Wire) -> None:
    app = create_app("ping", SECRET, DATABASE_DOWN)

    @app.post("/pings")
    async def ping() -> None:
        await wire.pool.execute("INSERT INTO received (text) VALUES ('x')")

    await wire.pool.execute(FILL)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ping") as client:
        response = await client.post("/pings")
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert response.headers["retry-after"]
        await wire.pool.execute(FREE)
        assert (await client.post("/pings")).status_code == 200


async def test_a_service_is_not_ready_while_a_loop_is_stalled(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "MAX_BACKOFF_SECONDS", 0.0)
    app, forever = FastAPI(), asyncio.Event()
    service = Service("notifier", wire.settings, [topic_of(wire.ping)], wire.pool, app)

    async def work() -> bool:
        await forever.wait()
        return False

    service.every("stalling", 0.1, work, max_turn_seconds=0.0)

    async def is_unready() -> bool:
        return (await client.get("/ready")).status_code == 503

    transport = httpx.ASGITransport(app)
    async with service.working(), httpx.AsyncClient(transport=transport, base_url="http://ping") as client:
        await eventually(is_unready)
        readiness = (await client.get("/ready")).json()["data"]
    assert (readiness["database"], readiness["kafka"], readiness["loops"]) == (True, True, False)
    assert readiness["seconds_since_turn"]["stalling"] >= 0.1
