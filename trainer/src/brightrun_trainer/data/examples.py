"""Reads the examples of a data set in OpenAI's chat format or its preference format, by the validator's own rules."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brightrun.datasets.examples import ExampleReader
from brightrun.datasets.models import DPO, OPENAI_CHAT, InvalidExample
from brightrun.datasets.preferences import OTHER, PREFERRED
from brightrun_trainer.process.failures import UnreadableData

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Example:
    """One line of a data set, ready for a chat template.

    Of a preference example, the last of `messages` is the preferred answer and `rejected` the other one.
    """

    messages: list[Message]
    tools: list[Any] | None
    line: bytes
    rejected: Message | None = None


def read(path: Path, pairs: bool) -> Iterator[Example]:
    """The examples of a file, one a line; `pairs`: preference examples. Raises UnreadableData."""
    reader = ExampleReader(DPO if pairs else OPENAI_CHAT)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                text = line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
                if not text.strip():
                    continue
                try:
                    yield _example(reader.read(text), text)
                except InvalidExample as invalid:
                    raise UnreadableData(f"{path.name}, line {number}: {invalid}.") from invalid
    except FileNotFoundError as error:
        raise UnreadableData(f"{path.name} is missing.") from error


def _example(normal: dict[str, Any], line: bytes) -> Example:
    if "messages" in normal:
        return Example(_messages(normal["messages"]), normal.get("tools"), line)
    prompt, (preferred, rejected) = normal["input"], (_messages(normal[name])[0] for name in (PREFERRED, OTHER))
    return Example([*_messages(prompt["messages"]), preferred], prompt.get("tools"), line, rejected)


def _messages(messages: list[Message]) -> list[Message]:
    """Chat templates expect a call's arguments as an object, where OpenAI's format has a string of JSON."""
    return [message | _parsed_calls(message) if "tool_calls" in message else message for message in messages]


def _parsed_calls(message: Message) -> Message:
    calls = (
        (call, call["function"] | {"arguments": json.loads(call["function"]["arguments"])})
        for call in message["tool_calls"]
    )
    return {"tool_calls": [call | {"function": function} for call, function in calls]}
