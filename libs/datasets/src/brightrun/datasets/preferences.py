"""OpenAI's preference format, for DPO: errors of an example, and its normal form.

An example is `{"input": {"messages": […], "tools"?: […], "parallel_tool_calls"?: bool}, "preferred_output": [<assistant
message>], "non_preferred_output": [<assistant message>]}`.
"""

from collections.abc import Iterator
from typing import Any

from brightrun.datasets.chat import (
    messages_of,
    normalize,
    normalize_messages,
    problems_of_conversation,
    problems_of_messages,
)
from brightrun.datasets.models import Problem, kind

PREFERRED, OTHER = "preferred_output", "non_preferred_output"
LAST_ROLES = ("user", "tool", "function")


def find_problems(example: dict[str, Any]) -> Iterator[Problem]:
    """Every error of an example without nulls, in the order of its text."""
    yield from _problems_of_input(example.get("input"))
    for name in (PREFERRED, OTHER):
        yield from _problems_of_output(f"$.{name}", example.get(name))
    if _answer(example.get(PREFERRED)) == _answer(example.get(OTHER)):
        yield Problem(f"$.{OTHER}", "same_outputs", "both outputs are the same, so there is nothing to prefer")


def normalize_pair(example: dict[str, Any]) -> dict[str, Any]:
    """A valid example with text contents and without deprecated keys."""
    return {"input": normalize(example["input"])} | {
        name: normalize_messages(example[name]) for name in (PREFERRED, OTHER)
    }


def _problems_of_input(conversation: Any) -> Iterator[Problem]:
    if not isinstance(conversation, dict):
        message = f"`input` must be a JSON object with `messages`, not {kind(conversation)}"
        yield Problem("$.input", "data_type", message)
        return
    yield from problems_of_conversation("$.input", conversation)
    messages = messages_of(conversation)
    last = messages[-1] if messages else None
    if isinstance(last, dict) and "role" in last and last["role"] not in LAST_ROLES:
        yield Problem(
            f"$.input.messages[{len(messages) - 1}].role",
            "nothing_to_answer",
            f"the last message of the input must be one to be answered, of {' or '.join(LAST_ROLES)}",
        )


def _problems_of_output(path: str, output: Any) -> Iterator[Problem]:
    if not isinstance(output, list) or len(output) != 1:
        yield Problem(path, "missing_output", "must be a list with one assistant message")
        return
    (message,) = output
    if isinstance(message, dict) and message.get("role") not in (None, "assistant"):
        yield Problem(f"{path}[0].role", "unrecognized_role", "must be an assistant message")
    yield from problems_of_messages(path, output)


def _answer(output: Any) -> Any:
    """The content of an output; of an invalid one, a value that equals no other."""
    if not isinstance(output, list) or len(output) != 1 or not isinstance(output[0], dict):
        return object()
    message = output[0]
    return message.get("content"), message.get("tool_calls"), message.get("function_call"), message.get("refusal")
