"""Nothing lost, nothing doubled, and a poison message hurts nobody else."""

import asyncio
import json
import signal
import time

from brightrun.contracts.values import new_id
from brightrun.local.engines import Postgres
from brightrun.runtime.commands.dead_letters import describe
from brightrun.runtime.consumer import BACKOFF_SECONDS
from brightrun.runtime.service import Service
from tests.waiting import eventually
from tests.wire.conftest import Wire
from tests.wire.ping import hear, hear_everything, hear_in_batches, heard, said


async def test_a_relay_killed_between_send_and_delete_sends_twice_and_the_effect_comes_once(wire: Wire) -> None:
    await wire.say(said(wire.ping, "hello"))
    process = await wire.process("relay.sent")
    assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL
    assert await wire.pool.fetchval("SELECT count(*) FROM outbox") == 1
    assert len(await wire.records()) == 1

    async with wire.reading(hear(wire.ping)):
        await eventually(lambda: _outbox_is_empty(wire))
        assert len(await wire.records()) == 2
        await wire.say(said(wire.ping, "and goodbye"))
        await eventually(lambda: _has_heard(wire, 2), within=30)
    assert sorted(await heard(wire.pool)) == ["and goodbye", "hello"]


async def test_a_reader_killed_before_it_acknowledged_has_its_effect_once(wire: Wire) -> None:
    await wire.say(said(wire.ping, "hello"))
    process = await wire.process("consumer.handled")
    assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL
    assert await heard(wire.pool) == ["hello"]

    who = new_id()
    async with wire.reading(hear(wire.ping)):
        await wire.say(*(said(wire.ping, text, who) for text in ("a", "b")))
        await eventually(lambda: _has_heard(wire, 3), within=30)
    assert await heard(wire.pool) == ["hello", "a", "b"]


async def test_events_of_one_key_arrive_in_the_order_in_which_they_were_written(wire: Wire) -> None:
    who = new_id()
    texts = [str(number) for number in range(200)]
    async with wire.reading(hear(wire.ping)):
        for text in texts:
            await wire.say(said(wire.ping, text, who))
        await eventually(lambda: _has_heard(wire, len(texts)), within=30)
    assert await heard(wire.pool) == texts


async def test_only_the_poison_goes_to_the_dead_letters(wire: Wire) -> None:
    await wire.send_bytes(b"{not json", b'{"who": "nobody"}', b"\xff" * 1000)
    async with wire.reading(hear(wire.ping)):
        await wire.say(*(said(wire.ping, text) for text in ("before", "boom", "huge", "after")))
        await eventually(lambda: _has_heard(wire, 2), within=30)
        letters = await eventually(lambda: _dead(wire, 5), within=30)
    causes = sorted(describe(letter)["cause"] for letter in letters)
    assert causes == ["handler_failed"] * 2 + ["undecodable"] * 3
    loud = next(described for letter in letters if "too loud" in (described := describe(letter))["error"])
    assert loud["origin"].startswith(f"{wire.ping.topic}/")
    assert loud["reader"] == "notifier"
    assert sorted(await heard(wire.pool)) == ["after", "before"]


async def test_while_the_database_is_away_messages_wait_and_none_is_dead(wire: Wire, postgres: Postgres) -> None:
    async with wire.reading(hear(wire.ping)) as service:
        await wire.say(said(wire.ping, "before"))
        await eventually(lambda: _has_heard(wire, 1), within=30)
        postgres.kill()
        await wire.send_bytes(said(wire.ping, "meanwhile").model_dump_json().encode())
        await eventually(lambda: _is_at_it_for(service, 2 * sum(BACKOFF_SECONDS)), within=30)
        await asyncio.to_thread(postgres.start)
        await wire.say(said(wire.ping, "after"))
        await eventually(lambda: _has_heard(wire, 3), within=30)
    assert sorted(await heard(wire.pool)) == ["after", "before", "meanwhile"]
    assert await wire.dead() == []


async def test_one_bad_message_of_a_batch_leaves_the_others_their_effect(wire: Wire) -> None:
    who = new_id()
    texts = ["a", "b", "boom", "c", "d"]
    async with wire.reading(hear_in_batches(wire.ping)):
        await wire.say(*(said(wire.ping, text, who) for text in texts))
        await eventually(lambda: _dead(wire, 1), within=30)
        await eventually(lambda: _has_heard(wire, 4), within=30)
    assert await heard(wire.pool) == ["a", "b", "c", "d"]


async def test_a_dead_letter_is_listed_and_once_its_cause_is_mended_replayed(wire: Wire) -> None:
    async with wire.reading(hear(wire.ping)):
        await wire.say(said(wire.ping, "boom"))
        await eventually(lambda: _dead(wire, 1), within=30)
    assert await heard(wire.pool) == []

    listed = json.loads(await wire.command("list"))
    assert (listed["cause"], "too loud" in listed["error"], "boom" in listed["value"]) == ("handler_failed", True, True)
    assert await wire.command("replay") == f"1 dead letters sent to {wire.ping.topic} again\n"
    async with wire.reading(hear_everything(wire.ping)):
        await eventually(lambda: _has_heard(wire, 1), within=30)
    assert await heard(wire.pool) == ["boom"]
    assert await wire.command("list") == ""
    assert await wire.command("replay") == f"0 dead letters sent to {wire.ping.topic} again\n"


async def _is_at_it_for(service: Service, seconds: float) -> bool:
    """Whether a reader has been busy with one message for longer than any failing handler would be given."""
    since = service._consumers[0].busy_since
    return since is not None and time.monotonic() - since > seconds


async def _outbox_is_empty(wire: Wire) -> bool:
    return await wire.pool.fetchval("SELECT count(*) FROM outbox") == 0


async def _has_heard(wire: Wire, count: int) -> bool:
    return len(await heard(wire.pool)) >= count


async def _dead(wire: Wire, count: int) -> list:
    letters = await wire.dead()
    return letters if len(letters) >= count else []


async def test_every_follower_hears_all_that_is_sent_while_it_follows_and_nothing_older(wire: Wire) -> None:
    topic, told = wire.ping.topic, [str(number).encode() for number in range(50)]
    await wire.send_bytes(b"older")
    heard_by: tuple[list[bytes], list[bytes]] = ([], [])
    async with wire.sending() as bus, wire.sending() as another:
        following = [
            asyncio.create_task(one.follow([topic], lambda _, key, value, words=words: words.append(key + value)))
            for one, words in zip((bus, another), heard_by, strict=True)
        ]

        async def both_follow() -> bool:
            await bus.send(topic, "probe", b"")
            return all(heard_by)

        async def both_have_heard() -> bool:
            return all(b"told" + told[-1] in words for words in heard_by)

        await eventually(both_follow, within=30)
        for value in told:
            await bus.send(topic, "told", value)
        await eventually(both_have_heard)
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
    for words in heard_by:
        assert [word for word in words if word != b"probe"] == [b"told" + value for value in told]
