"""The OpenAI chat format: which errors one example has.

Codes are those that the OpenAI cookbook taught people, and ours where it has none. An example is
`{"messages": [{"role", "content", …}, …], "tools"?: […], "parallel_tool_calls"?: bool}`.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

OPENAI_CHAT = "openai_chat"
DPO = "dpo"
ROLES = ("system", "user", "assistant", "tool")
MESSAGE_KEYS = frozenset({"role", "content", "name", "weight", "tool_calls", "tool_call_id", "refusal"})
MAX_QUOTE_LENGTH = 80

Problem: TypeAlias = tuple[str, str, str]
"""JSON path, code, message."""

_MARKS_OF_OTHER_FORMATS = {
    "prompt_completion": {"prompt", "completion"},
    "alpaca": {"instruction", "output"},
    "sharegpt": {"conversations"},
    DPO: {"input", "preferred_output", "non_preferred_output"},
}


def detect_format(example: Any) -> str:
    """The format that an example is written in; `openai_chat` unless it plainly is another."""
    if isinstance(example, dict) and "messages" not in example:
        for name, marks in _MARKS_OF_OTHER_FORMATS.items():
            if marks <= example.keys():
                return name
    return OPENAI_CHAT


def find_problems(example: Any) -> Iterator[Problem]:
    """Every error of one example, in the order of its text."""
    if not isinstance(example, dict):
        yield "$", "data_type", f"an example must be a JSON object, not {kind(example)}"
        return
    yield from problems_of_conversation("$", example)
    if messages := messages_of(example):
        yield from _problems_of_training(messages)


def estimate_tokens(example: dict[str, Any]) -> int:
    """Tokens of a valid example by rule of thumb: a token for 4 bytes of UTF-8, and 4 for the frame of each message."""
    return estimate_conversation(example["messages"], example.get("tools"))


def estimate_conversation(messages: Sequence[dict[str, Any]], tools: list[Any] | None) -> int:
    """The same of messages, with the tools that they may call."""
    size = sum(len(message["content"].encode()) for message in messages if message.get("content"))
    size += sum(len(json.dumps(message["tool_calls"])) for message in messages if message.get("tool_calls"))
    if tools is not None:
        size += len(json.dumps(tools))
    return -(-size // 4) + 4 * len(messages)


def messages_of(conversation: dict[str, Any]) -> list[Any]:
    """The messages, sound or not; none where there is no list of them."""
    messages = conversation.get("messages")
    return messages if isinstance(messages, list) else []


def problems_of_conversation(path: str, conversation: dict[str, Any]) -> Iterator[Problem]:
    """Errors of the messages and of the tools that they may call."""
    yield from _problems_of_tools(path, conversation)
    if messages := messages_of(conversation):
        yield from problems_of_messages(f"{path}.messages", messages)
    else:
        yield f"{path}.messages", "missing_messages_list", "`messages` must be a list with at least one message"


def problems_of_messages(path: str, messages: Sequence[Any]) -> Iterator[Problem]:
    """Errors of the messages of a conversation, one by one, and of how they belong together."""
    called: set[str] = set()
    for index, message in enumerate(messages):
        yield from _problems_of_message(f"{path}[{index}]", message, called)


def _problems_of_tools(path: str, example: dict[str, Any]) -> Iterator[Problem]:
    """Errors of the tools that a conversation may call."""
    if "parallel_tool_calls" in example and not isinstance(example["parallel_tool_calls"], bool):
        yield f"{path}.parallel_tool_calls", "invalid_tools", "`parallel_tool_calls` must be true or false"
    tools = example.get("tools", [])
    if not isinstance(tools, list):
        yield f"{path}.tools", "invalid_tools", f"`tools` must be a list, not {kind(tools)}"
        return
    for index, tool in enumerate(tools):
        if not _is_function(tool) or not isinstance(tool["function"].get("parameters", {}), dict):
            yield (
                f"{path}.tools[{index}]",
                "invalid_tools",
                'a tool must be {"type": "function", "function": {"name": …, "parameters": {…}}}',
            )


def _problems_of_message(path: str, message: Any, called: set[str]) -> Iterator[Problem]:
    """Errors of one message; adds the ids of its tool calls to `called`."""
    if not isinstance(message, dict):
        yield path, "data_type", f"a message must be a JSON object, not {kind(message)}"
        return
    for key in sorted(message.keys() - MESSAGE_KEYS):
        yield path, "message_unrecognized_key", f"unknown key {_quote(key)}"
    if "role" not in message:
        yield path, "message_missing_key", "the message has no `role`"
    elif message["role"] not in ROLES:
        yield f"{path}.role", "unrecognized_role", f"{_quote(message['role'])} is not one of {', '.join(ROLES)}"
    yield from _problems_of_content(path, message)
    yield from _problems_of_weight(path, message)
    if "tool_calls" in message:
        yield from _problems_of_tool_calls(path, message, called)
    if message.get("role") == "tool":
        yield from _problems_of_tool_result(path, message, called)


def _problems_of_content(path: str, message: dict[str, Any]) -> Iterator[Problem]:
    content = message.get("content")
    if content is None and message.get("role") == "assistant" and message.get("tool_calls"):
        return
    if "content" not in message:
        yield path, "message_missing_key", "the message has no `content`"
    elif not isinstance(content, str):
        yield f"{path}.content", "missing_content", f"`content` must be text, not {kind(content)}"
    elif not content.strip() and not message.get("tool_calls"):
        yield f"{path}.content", "empty_content", "`content` is empty"


def _problems_of_weight(path: str, message: dict[str, Any]) -> Iterator[Problem]:
    if "weight" not in message:
        return
    if message.get("role") != "assistant":
        yield f"{path}.weight", "invalid_weight", "only assistant messages have a `weight`"
    elif isinstance(message["weight"], bool) or message["weight"] not in (0, 1):
        yield f"{path}.weight", "invalid_weight", "`weight` must be 0 or 1"


def _problems_of_tool_calls(path: str, message: dict[str, Any], called: set[str]) -> Iterator[Problem]:
    calls = message["tool_calls"]
    if message.get("role") != "assistant":
        yield f"{path}.tool_calls", "invalid_tool_calls", "only assistant messages have `tool_calls`"
    if not isinstance(calls, list) or not calls:
        yield f"{path}.tool_calls", "invalid_tool_calls", "`tool_calls` must be a list with at least one call"
        return
    for index, call in enumerate(calls):
        if _is_function(call) and isinstance(call.get("id"), str) and _is_json(call["function"].get("arguments")):
            called.add(call["id"])
        else:
            yield (
                f"{path}.tool_calls[{index}]",
                "invalid_tool_calls",
                'a call must be {"id": …, "type": "function", "function": {"name": …, "arguments": "<JSON text>"}}',
            )


def _problems_of_tool_result(path: str, message: dict[str, Any], called: set[str]) -> Iterator[Problem]:
    call_id = message.get("tool_call_id")
    if not isinstance(call_id, str):
        yield path, "message_missing_key", "a tool's message needs the `tool_call_id` that it answers"
    elif call_id not in called:
        yield f"{path}.tool_call_id", "unknown_tool_call", f"no message before it calls {_quote(call_id)}"


def _problems_of_training(messages: list[Any]) -> Iterator[Problem]:
    answers = [message for message in messages if isinstance(message, dict) and message.get("role") == "assistant"]
    if not answers:
        yield "$.messages", "example_missing_assistant_message", "there is no assistant message to learn from"
    elif all(message.get("weight") == 0 for message in answers):
        yield (
            "$.messages",
            "example_missing_assistant_message",
            "every assistant message has weight 0, so there is nothing to learn from",
        )


def _is_function(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("type") == "function"
        and isinstance(value.get("function"), dict)
        and isinstance(value["function"].get("name"), str)
        and bool(value["function"]["name"])
    )


def _is_json(text: Any) -> bool:
    if not isinstance(text, str):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def kind(value: Any) -> str:
    """What a value of JSON is, in a word."""
    names = {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def _quote(value: Any) -> str:
    """`value` as short, printable JSON: reports are shown in pages and stored as text without NUL."""
    if isinstance(value, str):
        value = value[: MAX_QUOTE_LENGTH + 1]
    text = json.dumps(value)
    return text if len(text) <= MAX_QUOTE_LENGTH else text[:MAX_QUOTE_LENGTH] + "…"
