"""Examples of a data set as they are trained: which messages are learned, and which `max_length` cuts off."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from brightrun.artifacts.datasets.models import ReadingOptions
from brightrun.contracts.artifacts import MAX_UPLOAD_BYTES
from brightrun.datasets.containers import Lines, Unreadable
from brightrun.datasets.examples import ExampleReader
from brightrun.datasets.models import InvalidExample
from brightrun.datasets.typed import Assistant, Conversation, conversations_of, estimate_tokens

MAX_READ_BYTES = 64 * 1024 * 1024
"""Of lines; examples after them are not previewed."""
MAX_TEXT_LENGTH = 20_000
"""Characters of a message, and of a line."""


@dataclass(frozen=True, slots=True)
class Selection:
    """`limit` examples from the one at `offset` on, among those whose line contains `text`."""

    offset: int
    limit: int
    text: str
    max_length: int


@dataclass(frozen=True, slots=True)
class Preview:
    """Some examples; `next_offset` is that of the first one after them, None if there is none in the part read."""

    examples: list[dict[str, Any]]
    next_offset: int | None
    complete: bool


def preview(pieces: Iterator[bytes], file_format: str, options: ReadingOptions, selection: Selection) -> Preview:
    """The selected examples, valid or not, by their lines. `complete`: the file was searched to its end."""
    reader = ExampleReader(file_format, options.columns)
    found: list[dict[str, Any]] = []
    position = read_bytes = 0
    texts = _as_in_lines(selection.text)
    try:
        lines = Lines(pieces, options.columns, MAX_UPLOAD_BYTES)
        number = lines.first_line - 1
        for block in lines:
            for line in block.removesuffix(b"\n").split(b"\n"):
                number += 1
                if not line.strip() or not any(text in line for text in texts):
                    continue
                if len(found) == selection.limit:
                    return Preview(found, position, complete=False)
                if position >= selection.offset:
                    found.append({"line": number, "raw": _shown(line)} | _render(reader, line, selection.max_length))
                position += 1
            read_bytes += len(block)
            if read_bytes >= MAX_READ_BYTES:
                return Preview(found, None, complete=False)
    except Unreadable:
        return Preview(found, None, complete=False)
    return Preview(found, None, complete=True)


def _render(reader: ExampleReader, line: bytes, max_length: int) -> dict[str, Any]:
    try:
        conversations = conversations_of(reader.read(line))
    except InvalidExample as invalid:
        return {"errors": [problem._asdict() for problem in invalid.problems]}
    first, *second = [_messages(conversation, max_length) for conversation in conversations]
    for message in first[:-1] if second else ():
        message["trained"] = False
    rejected = {"rejected": second[0][-1]} if second else {}
    tokens = max(map(estimate_tokens, conversations))
    return {"errors": [], "tokens": tokens, "tokens_estimated": True, "messages": first, **rejected}


def _messages(conversation: Conversation, max_length: int) -> list[dict[str, Any]]:
    messages, tokens = [], 0
    for message in conversation.messages:
        tokens += estimate_tokens(Conversation(messages=[message]))
        shown: dict[str, Any] = {
            "role": type(message).__name__.lower(),
            "content": (message.content or "")[:MAX_TEXT_LENGTH],
            "trained": isinstance(message, Assistant) and message.weight != 0,
            "cut": tokens > max_length,
        }
        if isinstance(message, Assistant) and message.tool_calls:
            shown["tool_calls"] = [
                {"name": call.function.name, "arguments": call.function.arguments[:MAX_TEXT_LENGTH]}
                for call in message.tool_calls
            ]
        messages.append(shown)
    return messages


def _as_in_lines(text: str) -> set[bytes]:
    """How JSON may write the text: with or without escapes of letters that are not ASCII."""
    return {json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode(errors="replace") for ascii_only in (True, False)}


def _shown(line: bytes) -> str:
    return line[: 4 * MAX_TEXT_LENGTH].decode(errors="replace")[:MAX_TEXT_LENGTH]
