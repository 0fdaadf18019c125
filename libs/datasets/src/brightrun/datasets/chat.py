"""OpenAI's chat format, of which all other formats are translations: errors of an example, and its normal form.

An example is `{"messages": [{"role", "content", …}, …], "tools"?: […], "parallel_tool_calls"?: bool}`, with the
deprecated `functions`, `function_call` and role `function` (schema `FineTuneChatRequestInput` of OpenAI's API). A key
given as null counts as absent. Codes are those of the OpenAI cookbook, and ours where it has none.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from brightrun.datasets.models import Problem, kind, quote

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
RESULT_ROLES = ("tool", "function")
MESSAGE_KEYS = frozenset(
    {"role", "content", "name", "weight", "tool_calls", "tool_call_id", "refusal", "function_call"}
)
Call: TypeAlias = tuple[str, str]
"""The role that answers a call, and the call's id or the function's name."""
LEGACY_CALL_ID = "call_{}"
"""Ids of calls that come from `function_call`, by their number in the conversation."""


def without_nulls(value: Any) -> Any:
    """The value without keys that are null, at any depth."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def find_problems(example: dict[str, Any]) -> Iterator[Problem]:
    """Every error of an example without nulls, in the order of its text."""
    yield from problems_of_conversation("$", example)
    if messages := messages_of(example):
        yield from _problems_of_training(messages)


def messages_of(conversation: dict[str, Any]) -> list[Any]:
    """The messages, sound or not; none where there is no list of them."""
    messages = conversation.get("messages")
    return messages if isinstance(messages, list) else []


def problems_of_conversation(path: str, conversation: dict[str, Any]) -> Iterator[Problem]:
    """Errors of the messages and of the tools that they may call."""
    yield from problems_of_tools(path, conversation)
    if messages := messages_of(conversation):
        yield from problems_of_messages(f"{path}.messages", messages)
    else:
        yield Problem(
            f"{path}.messages", "missing_messages_list", "`messages` must be a list with at least one message"
        )


def problems_of_messages(path: str, messages: Sequence[Any]) -> Iterator[Problem]:
    """Errors of the messages of a conversation, one by one, and of how they belong together."""
    called: set[Call] = set()
    for index, message in enumerate(messages):
        yield from _problems_of_message(f"{path}[{index}]", message, called)


def problems_of_tools(path: str, example: dict[str, Any]) -> Iterator[Problem]:
    """Errors of the tools that a conversation may call."""
    if not isinstance(example.get("parallel_tool_calls", True), bool):
        yield Problem(f"{path}.parallel_tool_calls", "invalid_tools", "`parallel_tool_calls` must be true or false")
    for name, shape in (
        ("tools", '{"type": "function", "function": {"name": …, "parameters": {…}}}'),
        ("functions", '{"name": …, "parameters": {…}}'),
    ):
        tools = example.get(name, [])
        if not isinstance(tools, list):
            yield Problem(f"{path}.{name}", "invalid_tools", f"`{name}` must be a list, not {kind(tools)}")
            continue
        for index, tool in enumerate(tools):
            function = tool if name == "functions" else _function_of(tool)
            if not _has_name(function) or not isinstance(function.get("parameters", {}), dict):
                yield Problem(f"{path}.{name}[{index}]", "invalid_tools", f"an item of `{name}` must be {shape}")


def is_json(text: Any) -> bool:
    """Whether the value is text that holds JSON."""
    if not isinstance(text, str):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def normalize(conversation: dict[str, Any]) -> dict[str, Any]:
    """A valid conversation with text contents and without deprecated keys; messages and tools only."""
    normal: dict[str, Any] = {"messages": normalize_messages(conversation["messages"])}
    functions = [{"type": "function", "function": function} for function in conversation.get("functions", [])]
    if tools := conversation.get("tools", []) + functions:
        normal["tools"] = tools
    if "parallel_tool_calls" in conversation:
        normal["parallel_tool_calls"] = conversation["parallel_tool_calls"]
    return normal


def normalize_messages(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Valid messages with text contents, with tool calls for function calls, and without refusals."""
    normal: list[dict[str, Any]] = []
    last_call_of: dict[str, str] = {}
    for number, message in enumerate(messages):
        plain = {key: value for key, value in message.items() if key not in ("refusal", "function_call")}
        plain["content"] = text_of(message)
        if call := message.get("function_call"):
            last_call_of[call["name"]] = call_id = LEGACY_CALL_ID.format(number)
            plain["tool_calls"] = [{"id": call_id, "type": "function", "function": call}]
        if message["role"] == "function":
            plain |= {"role": "tool", "tool_call_id": last_call_of[message["name"]]}
        normal.append(plain)
    return normal


def text_of(message: dict[str, Any]) -> str:
    """The text of a valid message: of its parts, if it has several, or of the refusal in its place."""
    content = message.get("content") or message.get("refusal") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or part.get("refusal") or "" for part in content)


def _problems_of_message(path: str, message: Any, called: set[Call]) -> Iterator[Problem]:
    """Errors of one message; adds its calls to `called`."""
    if not isinstance(message, dict):
        yield Problem(path, "data_type", f"a message must be a JSON object, not {kind(message)}")
        return
    role = message.get("role")
    for key in sorted(message.keys() - MESSAGE_KEYS):
        yield Problem(path, "message_unrecognized_key", f"unknown key {quote(key)}")
    if role is None:
        yield Problem(path, "message_missing_key", "the message has no `role`")
    elif role not in ROLES:
        yield Problem(f"{path}.role", "unrecognized_role", f"{quote(role)} is not one of {', '.join(ROLES)}")
    yield from _problems_of_content(path, message)
    yield from _problems_of_weight(path, message)
    if role != "assistant":
        for key in ("tool_calls", "function_call", "refusal"):
            if key in message:
                yield Problem(f"{path}.{key}", f"invalid_{key}", f"only assistant messages have `{key}`")
    elif "tool_calls" in message:
        yield from _problems_of_tool_calls(path, message, called)
    elif "function_call" in message:
        yield from _problems_of_function_call(path, message["function_call"], called)
    if role in RESULT_ROLES:
        yield from _problems_of_result(path, message, called)


def _problems_of_content(path: str, message: dict[str, Any]) -> Iterator[Problem]:
    name = "refusal" if "refusal" in message and message.get("content") in (None, "", []) else "content"
    content = message.get(name)
    calls = message.get("role") == "assistant" and ("tool_calls" in message or "function_call" in message)
    if content is None:
        if not calls and message.get("role") != "function":
            yield Problem(path, "message_missing_key", "the message has no `content`")
    elif "refusal" in message and name == "content" and message.get("role") == "assistant":
        yield Problem(f"{path}.refusal", "invalid_refusal", "give `content` or `refusal`, not both")
    elif isinstance(content, list):
        yield from _problems_of_parts(f"{path}.{name}", content, message.get("role"))
    elif not isinstance(content, str):
        yield Problem(
            f"{path}.{name}", "missing_content", f"`{name}` must be text or a list of text parts, not {kind(content)}"
        )
    elif not content.strip() and not calls and message.get("role") not in RESULT_ROLES:
        yield Problem(f"{path}.{name}", "empty_content", f"`{name}` is empty")


def _problems_of_parts(path: str, parts: list[Any], role: Any) -> Iterator[Problem]:
    types = ("text", "refusal") if role == "assistant" else ("text",)
    sound = True
    for index, part in enumerate(parts):
        part_type = part.get("type") if isinstance(part, dict) else None
        if part_type not in types:
            sound = False
            found = f"type {quote(part_type)}" if part_type is not None else f"{kind(part)} without a type"
            yield Problem(
                f"{path}[{index}]", "unsupported_content_part", f"only text can be trained on; this part is {found}"
            )
        elif not isinstance(part.get(part_type), str):
            sound = False
            yield Problem(f"{path}[{index}]", "missing_content", f"the part needs `{part_type}` with a text")
    if sound and role not in RESULT_ROLES and not any(part[part["type"]].strip() for part in parts):
        yield Problem(path, "empty_content", "`content` is empty")


def _problems_of_weight(path: str, message: dict[str, Any]) -> Iterator[Problem]:
    if "weight" not in message:
        return
    if message.get("role") != "assistant":
        yield Problem(f"{path}.weight", "invalid_weight", "only assistant messages have a `weight`")
    elif isinstance(message["weight"], bool) or message["weight"] not in (0, 1):
        yield Problem(f"{path}.weight", "invalid_weight", "`weight` must be 0 or 1")


def _problems_of_tool_calls(path: str, message: dict[str, Any], called: set[Call]) -> Iterator[Problem]:
    calls = message["tool_calls"]
    if "function_call" in message:
        yield Problem(
            f"{path}.function_call", "invalid_function_call", "give `tool_calls` or `function_call`, not both"
        )
    if not isinstance(calls, list) or not calls:
        yield Problem(f"{path}.tool_calls", "invalid_tool_calls", "`tool_calls` must be a list with at least one call")
        return
    for index, call in enumerate(calls):
        function = _function_of(call)
        if _has_name(function) and isinstance(call.get("id"), str) and is_json(function.get("arguments")):
            called.add(("tool", call["id"]))
        else:
            yield Problem(
                f"{path}.tool_calls[{index}]",
                "invalid_tool_calls",
                'a call must be {"id": …, "type": "function", "function": {"name": …, "arguments": "<JSON text>"}}',
            )


def _problems_of_function_call(path: str, call: Any, called: set[Call]) -> Iterator[Problem]:
    if _has_name(call) and is_json(call.get("arguments")):
        called.add(("function", call["name"]))
    else:
        yield Problem(
            f"{path}.function_call",
            "invalid_function_call",
            '`function_call` must be {"name": …, "arguments": "<JSON text>"}',
        )


def _problems_of_result(path: str, message: dict[str, Any], called: set[Call]) -> Iterator[Problem]:
    key = "name" if message["role"] == "function" else "tool_call_id"
    call = message.get(key)
    if not isinstance(call, str):
        yield Problem(path, "message_missing_key", f"a {message['role']} message needs the `{key}` that it answers")
    elif (message["role"], call) not in called:
        yield Problem(f"{path}.{key}", "unknown_tool_call", f"no message before it calls {quote(call)}")


def _problems_of_training(messages: list[Any]) -> Iterator[Problem]:
    answers = [message for message in messages if isinstance(message, dict) and message.get("role") == "assistant"]
    if not answers:
        yield Problem("$.messages", "example_missing_assistant_message", "there is no assistant message to learn from")
    elif all(message.get("weight") == 0 for message in answers):
        yield Problem(
            "$.messages",
            "example_missing_assistant_message",
            "every assistant message has weight 0, so there is nothing to learn from",
        )


def _function_of(value: Any) -> Any:
    """The function of a tool or of a tool call; None if it has another type."""
    return value.get("function") if isinstance(value, dict) and value.get("type") == "function" else None


def _has_name(function: Any) -> bool:
    return isinstance(function, dict) and isinstance(function.get("name"), str) and bool(function["name"])
