"""Reads the examples of a data set in OpenAI's chat format or its preference format."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brightrun_trainer.process.failures import UnreadableData

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
OUTPUTS = ("preferred_output", "non_preferred_output")
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
    parse = _parse_pair if pairs else _parse
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield parse(line, f"{path.name}, line {number}")
    except FileNotFoundError as error:
        raise UnreadableData(f"{path.name} is missing.") from error


def _parse(line: bytes, where: str) -> Example:
    example = _object(line, where)
    messages = _messages(example, where, "there is no list of messages")
    return Example(messages, example.get("tools"), line)


def _parse_pair(line: bytes, where: str) -> Example:
    example = _object(line, where)
    prompt: Any = example.get("input")
    messages = _messages(prompt, where, "method dpo needs an input with messages, and two outputs")
    preferred, rejected = (_answer(example.get(name), name, where) for name in OUTPUTS)
    return Example([*messages, preferred], prompt.get("tools"), line, rejected)


def _messages(conversation: Any, where: str, problem: str) -> list[Message]:
    messages = conversation.get("messages") if isinstance(conversation, dict) else None
    if not isinstance(messages, list) or not messages:
        raise UnreadableData(f"{where}: {problem}.")
    return [_message(message, where) for message in messages]


def _answer(output: Any, name: str, where: str) -> Message:
    message = _message(output[0], where) if isinstance(output, list) and len(output) == 1 else {}
    if message.get("role") != "assistant":
        raise UnreadableData(f"{where}: {name} must be a list of one assistant message.")
    return message


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        example = json.loads(line.decode("utf-8-sig"))
    except ValueError as error:
        raise UnreadableData(f"{where}: not JSON.") from error
    return example if isinstance(example, dict) else {}


def _message(message: Any, where: str) -> Message:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise UnreadableData(f"{where}: a message needs a role, one of {', '.join(sorted(ROLES))}.")
    if message.get("weight", 1) not in (0, 1):
        raise UnreadableData(f"{where}: a weight is 0 or 1.")
    return {**message, "content": _text(message.get("content"), where), **_tool_calls(message, where)}


def _text(content: Any, where: str) -> str:
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        return "".join(str(part.get("text", "")) for part in content)
    if content is None or isinstance(content, str):
        return content or ""
    raise UnreadableData(f"{where}: the content of a message must be text.")


def _tool_calls(message: Message, where: str) -> Message:
    """Chat templates expect a call's arguments as an object, where OpenAI's format has a string of JSON."""
    if not message.get("tool_calls"):
        return {}
    try:
        return {
            "tool_calls": [
                {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
                for call in message["tool_calls"]
            ]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableData(f"{where}: a tool call needs a function with arguments in JSON.") from error
