"""The fast reading of OpenAI's chat format: many lines at once, as far as they are plainly valid.

Accepts only what `ExampleReader` accepts; the lines of a block that is not accepted are to be read one by one.
"""

from typing import Annotated, Any, Literal

import msgspec

from brightrun.datasets.chat import is_json, problems_of_tools
from brightrun.datasets.preferences import OTHER, PREFERRED

Text = Annotated[str, msgspec.Meta(min_length=1)]


class Function(msgspec.Struct, gc=False):
    """A call of a function, with its arguments as JSON text."""

    name: Text
    arguments: str


class ToolCall(msgspec.Struct, gc=False):
    """A call of a tool."""

    id: str
    type: Literal["function"]
    function: Function


class _Message(msgspec.Struct, tag_field="role", forbid_unknown_fields=True, gc=False):
    name: str | None = None


class System(_Message, tag="system", kw_only=True):
    """An instruction."""

    content: Text


class Developer(_Message, tag="developer", kw_only=True):
    """An instruction, as newer models call it."""

    content: Text


class User(_Message, tag="user", kw_only=True):
    """A question."""

    content: Text


class Assistant(_Message, tag="assistant", kw_only=True):
    """An answer, learned unless its weight is 0."""

    content: str | None = None
    weight: Literal[0, 1] | None = None
    tool_calls: Annotated[list[ToolCall], msgspec.Meta(min_length=1)] | None = None
    function_call: None = None
    refusal: None = None
    audio: None = None


class Tool(_Message, tag="tool", kw_only=True):
    """The result of a tool call."""

    content: str
    tool_call_id: str


class Conversation(msgspec.Struct, gc=False):
    """One example."""

    messages: Annotated[list[System | Developer | User | Assistant | Tool], msgspec.Meta(min_length=1)]
    tools: list[dict[str, Any]] | None = None
    parallel_tool_calls: bool | None = None
    functions: None = None


OUTPUTS = (PREFERRED, OTHER)
_decoder = msgspec.json.Decoder(Conversation)


def read_block(block: bytes) -> list[Conversation] | None:
    """The examples of complete lines without empty ones; None unless all are plainly valid."""
    try:
        conversations: list[Conversation] = _decoder.decode_lines(block)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return conversations if all(map(is_valid, conversations)) else None


def is_normal(example: dict[str, Any]) -> bool:
    """Whether a translated example is plainly valid and in its normal form."""
    try:
        conversation = msgspec.convert(example, Conversation)
    except (msgspec.ValidationError, RecursionError):
        return False
    has_contents = all(message.content is not None for message in conversation.messages)
    return "tools" not in example and has_contents and is_valid(conversation)


def conversations_of(example: dict[str, Any]) -> list[Conversation]:
    """The conversations that an example in its normal form is trained as: one, or one for each answer of a pair."""
    if "messages" in example:
        return [msgspec.convert(example, Conversation)]
    pair = (example["input"] | {"messages": [*example["input"]["messages"], *example[name]]} for name in OUTPUTS)
    return [msgspec.convert(conversation, Conversation) for conversation in pair]


def estimate_tokens(conversation: Conversation) -> int:
    """Tokens by rule of thumb: one for 4 bytes of UTF-8 of contents, tools and calls, and 4 for each message."""
    messages = conversation.messages
    text = "".join([message.content or "" for message in messages])
    size = len(text) if text.isascii() else len(text.encode())
    size += len(msgspec.json.encode(conversation.tools)) if conversation.tools else 0
    for message in messages:
        if type(message) is Assistant and message.tool_calls:
            size += len(msgspec.json.encode(message.tool_calls))
    return -(-size // 4) + 4 * len(messages)


def is_valid(conversation: Conversation) -> bool:
    """Whether it has none of the errors that its types do not exclude."""
    messages = conversation.messages
    contents = [message.content for message in messages]
    if conversation.tools or not all(contents) or any(type(message) is Tool for message in messages):
        return _is_valid_with_tools(conversation)
    answers = [message for message in messages if type(message) is Assistant]
    if any(answer.tool_calls for answer in answers):
        return _is_valid_with_tools(conversation)
    return any(answer.weight != 0 for answer in answers) and not any(map(str.isspace, contents))  # type: ignore[arg-type]


def _is_valid_with_tools(conversation: Conversation) -> bool:
    if conversation.tools and any(problems_of_tools("$", {"tools": conversation.tools})):
        return False
    learned, called = False, set[str]()
    for message in conversation.messages:
        content = message.content
        if isinstance(message, Assistant):
            learned = learned or message.weight != 0
            if message.tool_calls:
                if not all(is_json(call.function.arguments) for call in message.tool_calls):
                    return False
                called.update(call.id for call in message.tool_calls)
                continue
        elif isinstance(message, Tool):
            if message.tool_call_id not in called:
                return False
            continue
        if not content or content.isspace():
            return False
    return learned
