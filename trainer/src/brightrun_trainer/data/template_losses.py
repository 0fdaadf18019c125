"""What a chat template leaves out of a conversation.

A template that has no place for a tool, a call or a role renders nothing for it and says nothing. Each shape of a
conversation is therefore rendered once with a marker in place of every text, and the markers are looked for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from jinja2 import TemplateError

from brightrun_trainer.data.examples import Example, Message

TOOLS, CALLS, RESULTS, MESSAGES, REASONING, NAMES = (
    "tools",
    "tool calls",
    "tool results",
    "messages",
    "reasoning of earlier answers",
    "names of participants",
)
TOLERATED = frozenset({REASONING, NAMES})
"""Left out by design of most templates: told, but no reason to reject data."""
END_OF_REASONING = "</think>"

Render = Callable[[list[Message], list[Any] | None], str]
Shape = tuple[Any, ...]
Marker = tuple[str, str]
"""What it stands for, and its text."""


@dataclass(slots=True)
class LossFinder:
    """Finds what `render` leaves out of conversations; `render` returns their text by the chat template."""

    render: Render
    _known: dict[Shape, frozenset[str]] = field(default_factory=dict)

    def find(self, example: Example) -> frozenset[str]:
        """The kinds of parts that are not rendered."""
        answers = [example.messages[-1:], [example.rejected]] if example.rejected else [example.messages[-1:]]
        lost: frozenset[str] = frozenset()
        for answer in answers:
            messages = [*example.messages[:-1], *answer]
            shape = _shape(messages, example.tools)
            if shape not in self._known:
                self._known[shape] = self._try(messages, example.tools)
            lost |= self._known[shape] | self._lost_reasoning(messages, example.tools)
        return lost

    def _try(self, messages: list[Message], tools: list[Any] | None) -> frozenset[str]:
        markers: list[Marker] = []
        marked = [_marked_message(index, message, markers) for index, message in enumerate(messages)]
        marked_tools = [_marked_tool(index, tool, markers) for index, tool in enumerate(tools)] if tools else None
        try:
            text = self.render(marked, marked_tools)
        except (TemplateError, TypeError, ValueError, KeyError):
            return frozenset()  # the conversation itself is rendered as well, and rejected with its line
        return frozenset(kind for kind, marker in markers if marker not in text)

    def _lost_reasoning(self, messages: list[Message], tools: list[Any] | None) -> frozenset[str]:
        reasoned = [text for text in _reasoning(messages) if text]
        if not reasoned:
            return frozenset()
        text = self.render(messages, tools)
        return frozenset({REASONING} if any(part not in text for part in reasoned) else ())


def _shape(messages: list[Message], tools: list[Any] | None) -> Shape:
    """What decides the branches that a template takes."""
    return bool(tools), *(
        (
            message["role"],
            bool(message.get("content")),
            len(message.get("tool_calls") or ()),
            bool(message.get("name")),
        )
        for message in messages
    )


def _marked_message(index: int, message: Message, markers: list[Marker]) -> Message:
    marked = dict(message)
    if message.get("content"):
        kind = RESULTS if message["role"] == "tool" else MESSAGES
        marked["content"] = _mark(kind, f"content{index}", markers)
    if message.get("name"):
        marked["name"] = _mark(NAMES, f"name{index}", markers)
    if message.get("tool_calls"):
        marked["tool_calls"] = [
            {**call, "function": _marked_call(f"{index}x{number}", markers)}
            for number, call in enumerate(message["tool_calls"])
        ]
    return marked


def _marked_call(place: str, markers: list[Marker]) -> dict[str, Any]:
    key, value = _mark(CALLS, f"key{place}", markers), _mark(CALLS, f"value{place}", markers)
    return {"name": _mark(CALLS, f"call{place}", markers), "arguments": {key: value}}


def _marked_tool(index: int, tool: Any, markers: list[Marker]) -> Any:
    parameter = _mark(TOOLS, f"parameter{index}", markers)
    function = {
        "name": _mark(TOOLS, f"tool{index}", markers),
        "description": _mark(TOOLS, f"description{index}", markers),
        "parameters": {"type": "object", "properties": {parameter: {"type": "string", "description": "text"}}},
    }
    return {**tool, "function": function} if isinstance(tool, dict) else tool


def _mark(kind: str, name: str, markers: list[Marker]) -> str:
    """A text that no template has, and that no escaping changes."""
    text = f"qz{name}zq"
    markers.append((kind, text))
    return text


def _reasoning(messages: list[Message]) -> Iterator[str]:
    for message in messages:
        if message["role"] == "assistant" and END_OF_REASONING in (message.get("content") or ""):
            yield message["content"].partition(END_OF_REASONING)[0].rpartition("<think>")[2].strip()
