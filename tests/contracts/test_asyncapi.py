"""The AsyncAPI document tells everything that the catalogue knows, and what is written keeps to it."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from brightrun.contracts.asyncapi import document
from brightrun.contracts.event import Topic
from brightrun.contracts.events import CATALOGUE
from tests.contracts.golden import FOLDER

DOCUMENT = document(CATALOGUE)


def _resolve(reference: str) -> Any:
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (value for key, value in part.items() if key == "$ref")
    for value in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _references(value)


def _problems(topic: Topic, sample: dict[str, Any]) -> list[str]:
    """What the document finds wrong with a message of the topic."""
    (message,) = DOCUMENT["channels"][topic.name]["messages"].values()
    payload = _resolve(message["$ref"])["payload"] | {"components": DOCUMENT["components"]}
    return [error.message for error in jsonschema.Draft7Validator(payload).iter_errors(sample)]


def test_every_reference_leads_somewhere() -> None:
    references = set(_references(DOCUMENT))

    assert len(references) > 2 * len(CATALOGUE)
    assert all(_resolve(reference) for reference in references)


@pytest.mark.parametrize("topic", CATALOGUE, ids=lambda topic: topic.name)
def test_the_document_says_who_writes_and_reads_a_topic(topic: Topic) -> None:
    operations = {
        (operation["action"], tag["name"])
        for operation in DOCUMENT["operations"].values()
        if operation["channel"] == {"$ref": f"#/channels/{topic.name}"}
        for tag in operation["tags"]
    }

    assert operations == {("send", topic.owner), *(("receive", reader) for reader in topic.readers)}


@pytest.mark.parametrize("topic", CATALOGUE, ids=lambda topic: topic.name)
def test_what_is_written_keeps_to_the_document(topic: Topic) -> None:
    sample = json.loads((FOLDER / "samples" / f"{topic.name}.json").read_text())
    whole = json.loads(topic.event.model_validate(sample).model_dump_json())

    assert _problems(topic, whole) == []
    for field in topic.event.model_fields:
        assert _problems(topic, whole | {field: ["another kind"]}), field
