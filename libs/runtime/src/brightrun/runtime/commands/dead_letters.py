"""`brightrun-dead-letters`: look at what could not be handled, and send it again once the cause is mended."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.structs import TopicPartition
from pydantic import ValidationError

from brightrun.runtime.kafka import DEAD_SUFFIX
from brightrun.runtime.settings import KafkaSettings

REPLAY_GROUP = "dead-letters.replay"
PREVIEW_CHARACTERS = 200


def main() -> None:
    """The command's entry point."""
    arguments = _parser().parse_args()
    try:
        settings = KafkaSettings()
    except ValidationError:
        raise SystemExit("Set BRIGHTRUN_KAFKA_BOOTSTRAP to the broker's host:port.") from None
    if arguments.command == "list":
        asyncio.run(_print_waiting(settings, arguments.topic))
    else:
        replayed = asyncio.run(replay(settings, arguments.topic))
        print(f"{replayed} dead letters sent to {arguments.topic} again")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="brightrun-dead-letters", description=__doc__)
    explained = "list: print what was not replayed yet, a JSON object a line; replay: send it to its topic again"
    parser.add_argument("command", choices=["list", "replay"], help=explained)
    parser.add_argument("topic", help="the original topic, such as job.queued")
    return parser


async def _print_waiting(settings: KafkaSettings, topic: str) -> None:
    async with _consumer(settings) as consumer:
        async for letter in _waiting(consumer, topic):
            print(json.dumps(describe(letter)))


def describe(letter: ConsumerRecord[Any, Any]) -> dict[str, str]:
    """A dead letter's headers, its key, and the beginning of its value."""
    return {
        **{name: value.decode(errors="replace") for name, value in letter.headers},
        "key": (letter.key or b"").decode(errors="replace"),
        "value": (letter.value or b"").decode(errors="replace")[:PREVIEW_CHARACTERS],
    }


async def replay(settings: KafkaSettings, topic: str) -> int:
    """Send every waiting dead letter of `topic` to it again, in order, and return how many there were.

    A letter counts as replayed once the broker has it; a crash in between sends it twice, which inboxes absorb.
    """
    consumer = _consumer(settings)
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap, acks="all", enable_idempotence=settings.kafka_idempotence
    )
    replayed = 0
    async with consumer, producer:
        async for letter in _waiting(consumer, topic):
            await producer.send_and_wait(topic, letter.value, key=letter.key)
            await consumer.commit({TopicPartition(letter.topic, letter.partition): letter.offset + 1})
            replayed += 1
    return replayed


def _consumer(settings: KafkaSettings) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, group_id=REPLAY_GROUP, enable_auto_commit=False)


async def _waiting(consumer: AIOKafkaConsumer, topic: str) -> AsyncIterator[ConsumerRecord[Any, Any]]:
    """The letters after the last replayed one, up to those there at the start."""
    partition = TopicPartition(topic + DEAD_SUFFIX, 0)
    consumer.assign([partition])
    first = await consumer.committed(partition) or (await consumer.beginning_offsets([partition]))[partition]
    last = (await consumer.end_offsets([partition]))[partition]
    consumer.seek(partition, first)
    while first < last:
        letter = await consumer.getone(partition)
        first = letter.offset + 1
        yield letter


if __name__ == "__main__":
    main()
