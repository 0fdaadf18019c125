"""The OpenAI preference format, for DPO: which errors one example has.

An example is `{"input": {"messages": […], "tools"?: […], "parallel_tool_calls"?: bool}, "preferred_output": [<assistant
message>], "non_preferred_output": [<assistant message>]}`.
"""

from collections.abc import Iterator
from typing import Any

from brightrun.artifacts.datasets.rules.chat_format import (
    Problem,
    estimate_conversation,
    kind,
    messages_of,
    problems_of_conversation,
    problems_of_messages,
)

PREFERRED, OTHER = "preferred_output", "non_preferred_output"
LAST_ROLES = ("user", "tool")


def find_problems(example: Any) -> Iterator[Problem]:
    """Every error of one example, in the order of its text."""
    if not isinstance(example, dict):
        yield "$", "data_type", f"an example must be a JSON object, not {kind(example)}"
        return
    yield from _problems_of_input(example.get("input"))
    for name in (PREFERRED, OTHER):
        yield from _problems_of_output(f"$.{name}", example.get(name))
    if _answer(example.get(PREFERRED)) == _answer(example.get(OTHER)):
        yield f"$.{OTHER}", "same_outputs", "both outputs are the same, so there is nothing to prefer"


def estimate_tokens(example: dict[str, Any]) -> int:
    """Tokens of a valid example by rule of thumb; the input counts with each of its outputs, as it is trained."""
    messages, tools = example["input"]["messages"], example["input"].get("tools")
    return sum(estimate_conversation([*messages, *example[name]], tools) for name in (PREFERRED, OTHER))


def _problems_of_input(conversation: Any) -> Iterator[Problem]:
    if not isinstance(conversation, dict):
        yield "$.input", "data_type", f"`input` must be a JSON object with `messages`, not {kind(conversation)}"
        return
    yield from problems_of_conversation("$.input", conversation)
    messages = messages_of(conversation)
    last = messages[-1] if messages else None
    if isinstance(last, dict) and "role" in last and last["role"] not in LAST_ROLES:
        yield (
            f"$.input.messages[{len(messages) - 1}].role",
            "nothing_to_answer",
            f"the last message of the input must be one to be answered, of {' or '.join(LAST_ROLES)}",
        )


def _problems_of_output(path: str, output: Any) -> Iterator[Problem]:
    if not isinstance(output, list) or len(output) != 1:
        yield path, "missing_output", "must be a list with one assistant message"
        return
    (message,) = output
    if isinstance(message, dict) and message.get("role") not in (None, "assistant"):
        yield f"{path}[0].role", "unrecognized_role", "must be an assistant message"
    yield from problems_of_messages(path, output)


def _answer(output: Any) -> Any:
    """The content of an output; of an invalid one, a value that equals no other."""
    if not isinstance(output, list) or len(output) != 1 or not isinstance(output[0], dict):
        return object()
    return output[0].get("content"), output[0].get("tool_calls")
