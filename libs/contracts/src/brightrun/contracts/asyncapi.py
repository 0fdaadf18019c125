"""The AsyncAPI 3 document of all topics, made from the catalogue."""

from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from brightrun.contracts.event import Topic

VERSION = "3.0.0"
KAFKA_BINDING = "0.5.0"
SCHEMAS = "#/components/schemas/"
ABOUT = """The facts that BrightRun's services tell each other through Kafka.

Every fact is published with the transaction that makes it true, at least once: a reader that has seen its event_id
ignores it. Facts with the same key are read in the order in which they were written. Fields are only ever added, and
a reader ignores those it does not know; anything else is a new topic. What a reader cannot handle goes with its cause
to the topic's dead letters, such as job.queued.dead."""

Json = dict[str, Any]


def document(topics: Sequence[Topic]) -> Json:
    """The document: a channel for each topic, what its owner sends and what each reader receives."""
    return {
        "asyncapi": VERSION,
        "info": {"title": "BrightRun events", "version": "1.0.0", "description": ABOUT},
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in topics},
        "operations": {name: operation for topic in topics for name, operation in _operations(topic)},
        "components": {
            "messages": {topic.event.__name__: _message(topic) for topic in topics},
            "schemas": _schemas(topics),
        },
    }


def _channel(topic: Topic) -> Json:
    message = topic.event.__name__
    return {
        "address": topic.name,
        "description": topic.fact,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {"retention.ms": int(topic.retention.total_seconds() * 1000)},
                "bindingVersion": KAFKA_BINDING,
            }
        },
    }


def _operations(topic: Topic) -> list[tuple[str, Json]]:
    reads = [
        (f"{reader}.receive.{topic.name}", _operation(topic, "receive", reader) | _group(topic, reader))
        for reader in topic.readers
    ]
    return [(f"{topic.owner}.send.{topic.name}", _operation(topic, "send", topic.owner)), *reads]


def _operation(topic: Topic, action: str, service: str) -> Json:
    channel = f"#/channels/{topic.name}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{topic.event.__name__}"}],
        "tags": [{"name": service}],
    }


def _group(topic: Topic, reader: str) -> Json:
    group = {"type": "string", "const": f"{reader}.{topic.name}"}
    return {"bindings": {"kafka": {"groupId": group, "bindingVersion": KAFKA_BINDING}}}


def _message(topic: Topic) -> Json:
    name = topic.event.__name__
    return {
        "name": name,
        "title": topic.name,
        "summary": topic.fact.split("\n")[0],
        "payload": {"$ref": f"{SCHEMAS}{name}"},
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": KAFKA_BINDING}},
    }


def _schemas(topics: Sequence[Topic]) -> Json:
    """The schemas of what is written, each type once."""
    _, schema = models_json_schema(
        [(topic.event, "serialization") for topic in topics], ref_template=f"{SCHEMAS}{{model}}"
    )
    definitions: Json = schema["$defs"]
    return definitions
