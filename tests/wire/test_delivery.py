"""No event is lost or applied twice, and a poison message does not block others."""

import asyncio
import json
import signal
import time

from brightrun.contracts.values import new_id
from brightrun.local.engines import Postgres
from brightrun.runtime.commands.dead_letters import describe
from brightrun.runtime.consumer import BACKOFF_SECONDS
from brightrun.runtime.service import Service
from tests.waiting import GENEROUS_SECONDS, eventually
from tests.wire.conftest import Wire
from tests.wire.ping import new_ping, received, subscribe_to, subscribe_to_batches, subscribe_without_failures


async def test_a_relay_killed_between_send_and_delete_sends_twice_and_the_effect_comes_once(wire: Wire) -> None:
    await wire.publish(new_ping(wire.ping, "hello"))
    process = await wire.process("relay.sent")
    assert await asyncio.wait_for(process.wait(), GENEROUS_SECONDS) == -signal.SIGKILL
    assert await wire.pool.fetchval("SELECT count(*) FROM outbox") == 1
    assert len(await wire.records()) == 1

    async with wire.consuming(subscribe_to(wire.ping)):
        await eventually(lambda: _outbox_is_empty(wire))
        assert len(await wire.records()) == 2
        await wire.publish(new_ping(wire.ping, "and goodbye"))
        await eventually(lambda: _has_received(wire, 2))
    assert sorted(await received(wire.pool)) == ["and goodbye", "hello"]


async def test_the_effect_of_a_consumer_killed_before_its_acknowledgement_comes_once(wire: Wire) -> None:
    await wire.publish(new_ping(wire.ping, "hello"))
    process = await wire.process("consumer.handled")
    assert await asyncio.wait_for(process.wait(), GENEROUS_SECONDS) == -signal.SIGKILL
    assert await received(wire.pool) == ["hello"]

    sender = new_id()
    async with wire.consuming(subscribe_to(wire.ping)):
        await wire.publish(*(new_ping(wire.ping, text, sender) for text in ("a", "b")))
        await eventually(lambda: _has_received(wire, 3))
    assert await received(wire.pool) == ["hello", "a", "b"]


async def test_events_of_one_key_arrive_in_the_order_in_which_they_were_written(wire: Wire) -> None:
    sender = new_id()
    texts = [str(number) for number in range(200)]
    async with wire.consuming(subscribe_to(wire.ping)):
        for text in texts:
            await wire.publish(new_ping(wire.ping, text, sender))
        await eventually(lambda: _has_received(wire, len(texts)))
    assert await received(wire.pool) == texts


async def test_only_poison_messages_become_dead_letters(wire: Wire) -> None:
    await wire.send_bytes(b"{not json", b'{"sender": "nobody"}', b"\xff" * 1000)
    async with wire.consuming(subscribe_to(wire.ping)):
        await wire.publish(*(new_ping(wire.ping, text) for text in ("before", "boom", "huge", "after")))
        await eventually(lambda: _has_received(wire, 2))
        letters = await eventually(lambda: _dead(wire, 5))
    causes = sorted(describe(letter)["cause"] for letter in letters)
    assert causes == ["handler_failed"] * 2 + ["undecodable"] * 3
    from_handler = next(described for letter in letters if "too loud" in (described := describe(letter))["error"])
    assert from_handler["origin"].startswith(f"{wire.ping.topic}/")
    assert from_handler["reader"] == "notifier"
    assert sorted(await received(wire.pool)) == ["after", "before"]


async def test_while_the_database_is_down_messages_wait_and_none_becomes_a_dead_letter(
    wire: Wire, postgres: Postgres
) -> None:
    async with wire.consuming(subscribe_to(wire.ping)) as service:
        await wire.publish(new_ping(wire.ping, "before"))
        await eventually(lambda: _has_received(wire, 1))
        postgres.kill()
        await wire.send_bytes(new_ping(wire.ping, "meanwhile").model_dump_json().encode())
        await eventually(lambda: _is_busy_for(service, 2 * sum(BACKOFF_SECONDS)))
        await asyncio.to_thread(postgres.start)
        await wire.publish(new_ping(wire.ping, "after"))
        await eventually(lambda: _has_received(wire, 3))
    assert sorted(await received(wire.pool)) == ["after", "before", "meanwhile"]
    assert await wire.dead_letters() == []


async def test_one_failing_message_of_a_batch_does_not_affect_the_others(wire: Wire) -> None:
    sender = new_id()
    texts = ["a", "b", "boom", "c", "d"]
    async with wire.consuming(subscribe_to_batches(wire.ping)):
        await wire.publish(*(new_ping(wire.ping, text, sender) for text in texts))
        await eventually(lambda: _dead(wire, 1))
        await eventually(lambda: _has_received(wire, 4))
    assert await received(wire.pool) == ["a", "b", "c", "d"]


async def test_a_dead_letter_is_listed_and_replayed_once_its_cause_is_fixed(wire: Wire) -> None:
    async with wire.consuming(subscribe_to(wire.ping)):
        await wire.publish(new_ping(wire.ping, "boom"))
        await eventually(lambda: _dead(wire, 1))
    assert await received(wire.pool) == []

    listed = json.loads(await wire.command("list"))
    assert (listed["cause"], "too loud" in listed["error"], "boom" in listed["value"]) == ("handler_failed", True, True)
    assert await wire.command("replay") == f"1 dead letters sent to {wire.ping.topic} again\n"
    async with wire.consuming(subscribe_without_failures(wire.ping)):
        await eventually(lambda: _has_received(wire, 1))
    assert await received(wire.pool) == ["boom"]
    assert await wire.command("list") == ""
    assert await wire.command("replay") == f"0 dead letters sent to {wire.ping.topic} again\n"


async def _is_busy_for(service: Service, seconds: float) -> bool:
    """Whether a consumer has been busy with one message for longer than all retries of a failing handler take."""
    since = service.consumers[0].busy_since
    return since is not None and time.monotonic() - since > seconds


async def _outbox_is_empty(wire: Wire) -> bool:
    return await wire.pool.fetchval("SELECT count(*) FROM outbox") == 0


async def _has_received(wire: Wire, count: int) -> bool:
    return len(await received(wire.pool)) >= count


async def _dead(wire: Wire, count: int) -> list:
    letters = await wire.dead_letters()
    return letters if len(letters) >= count else []


async def test_every_follower_receives_all_records_sent_while_it_follows_and_no_older_ones(wire: Wire) -> None:
    topic, values = wire.ping.topic, [str(number).encode() for number in range(50)]
    await wire.send_bytes(b"older")
    received_by: tuple[list[bytes], list[bytes]] = ([], [])
    async with wire.client() as kafka, wire.client() as other:
        followers = [
            asyncio.create_task(
                client.follow([topic], lambda _, key, value, records=records: records.append(key + value))
            )
            for client, records in zip((kafka, other), received_by, strict=True)
        ]

        async def both_follow() -> bool:
            await kafka.send(topic, "probe", b"")
            return all(received_by)

        async def both_have_received() -> bool:
            return all(b"value" + values[-1] in records for records in received_by)

        await eventually(both_follow)
        for value in values:
            await kafka.send(topic, "value", value)
        await eventually(both_have_received)
        for task in followers:
            task.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
    for records in received_by:
        assert [record for record in records if record != b"probe"] == [b"value" + value for value in values]
