"""The fast reading of OpenAI's chat format: many lines at once, as far as they are plainly valid.

Accepts only what `ExampleReader` accepts; the lines of a block that is not accepted are to be read one by one.
"""

from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias

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


class Break:
    """Stands between the conversations of a pair among the roles of its messages."""


Roles: TypeAlias = tuple[type, ...]
"""The types of the messages, in their order."""
Figures: TypeAlias = tuple[int, int, int, int, Roles]
"""Of an example: tokens of all its conversations, and of the longest one; characters, and those learned; roles."""
OUTPUTS = (PREFERRED, OTHER)
MAX_CACHED_ROLES = 64
_decoder = msgspec.json.Decoder(Conversation)


def read_block(block: bytes) -> list[Figures] | None:
    """The figures of complete lines without empty ones; None unless all are plainly valid."""
    try:
        figures = list(map(examine, _decoder.decode_lines(block)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if None in figures else figures  # type: ignore[return-value]


def read_line(line: bytes) -> Figures | None:
    """The figures of one line; None unless it is plainly valid."""
    try:
        return examine(_decoder.decode(line))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def figures_of(example: dict[str, Any]) -> Figures:
    """The figures of a valid example in its normal form; those of a pair are of both conversations."""
    figures = [_measure(conversation) for conversation in conversations_of(example)]
    tokens, longest, characters, learned, roles = zip(*figures, strict=True)
    all_roles = roles[0] if len(roles) == 1 else (*roles[0], Break, *roles[1])
    return sum(tokens), max(longest), sum(characters), sum(learned), all_roles


def is_normal(example: dict[str, Any]) -> bool:
    """Whether a translated example is plainly valid and in its normal form."""
    try:
        conversation = msgspec.convert(example, Conversation)
    except (msgspec.ValidationError, RecursionError):
        return False
    has_contents = all(message.content is not None for message in conversation.messages)
    return "tools" not in example and has_contents and examine(conversation) is not None


def conversations_of(example: dict[str, Any]) -> list[Conversation]:
    """The conversations that an example in its normal form is trained as: one, or one for each answer of a pair."""
    if "messages" in example:
        return [msgspec.convert(example, Conversation)]
    pair = (example["input"] | {"messages": [*example["input"]["messages"], *example[name]]} for name in OUTPUTS)
    return [msgspec.convert(conversation, Conversation) for conversation in pair]


def estimate_tokens(conversation: Conversation) -> int:
    """Tokens by rule of thumb: one for 4 bytes of UTF-8 of contents, tools and calls, and 4 for each message."""
    return _measure(conversation)[0]


def examine(conversation: Conversation) -> Figures | None:
    """The figures of a conversation; None if it has one of the errors that its types do not exclude."""
    messages = conversation.messages
    roles = tuple(map(type, messages))
    contents = [message.content for message in messages]
    answers = _answers_of(roles) if len(roles) <= MAX_CACHED_ROLES else _places_of_answers(roles)
    if answers is None or conversation.tools or not all(contents):
        return _measure(conversation) if _is_valid_with_tools(conversation) else None
    learned = 0
    for place in answers:
        answer: Assistant = messages[place]  # type: ignore[assignment]
        if answer.tool_calls:
            return _measure(conversation) if _is_valid_with_tools(conversation) else None
        if answer.weight != 0:
            learned += len(contents[place])  # type: ignore[arg-type]
    if not learned or any(map(str.isspace, contents)):  # type: ignore[arg-type]
        return None
    text = "".join(contents)  # type: ignore[arg-type]
    characters = len(text)
    tokens = -(-(characters if text.isascii() else len(text.encode())) // 4) + 4 * len(messages)
    return tokens, tokens, characters, learned, roles


def _places_of_answers(roles: Roles) -> tuple[int, ...] | None:
    """The places of the assistant's messages; None if there are results of tools."""
    return None if Tool in roles else tuple(place for place, role in enumerate(roles) if role is Assistant)


_answers_of = lru_cache(maxsize=1024)(_places_of_answers)


def _measure(conversation: Conversation) -> Figures:
    messages = conversation.messages
    calls = [message.tool_calls or [] if isinstance(message, Assistant) else [] for message in messages]
    contents = [message.content or "" for message in messages]
    size = sum(len(content.encode()) for content in contents) + sum(
        map(len, map(msgspec.json.encode, filter(None, calls)))
    )
    size += len(msgspec.json.encode(conversation.tools)) if conversation.tools else 0
    tokens = -(-size // 4) + 4 * len(messages)
    lengths = [
        len(content) + sum(len(call.function.arguments) for call in called)
        for content, called in zip(contents, calls, strict=True)
    ]
    learned = sum(
        length
        for message, length in zip(messages, lengths, strict=True)
        if isinstance(message, Assistant) and message.weight != 0
    )
    return tokens, tokens, sum(lengths), learned, tuple(map(type, messages))


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
