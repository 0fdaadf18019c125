"""Every error that one example can have."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.datasets.chat import LEGACY_CALL_ID
from brightrun.datasets.examples import ExampleReader, detect_format
from brightrun.datasets.models import OPENAI_CHAT, InvalidExample, Problem
from brightrun.datasets.typed import conversations_of, estimate_tokens, figures_of, read_block, read_line

ANSWER = {"role": "assistant", "content": "Oil the hinge first."}
QUESTION = {"role": "user", "content": "The door squeaks."}
CALL = {"id": "call_1", "type": "function", "function": {"name": "find_part", "arguments": '{"part": "hinge"}'}}
TOOL = {"type": "function", "function": {"name": "find_part", "parameters": {"type": "object"}}}


READER = ExampleReader(OPENAI_CHAT)


def find_problems(example: Any) -> list[Problem]:
    """Every error; the fast reading accepts none of these examples."""
    line = json.dumps(example).encode()
    try:
        READER.read(line)
    except InvalidExample as invalid:
        assert read_block(line) is None
        return invalid.problems
    return []


def example(*messages: Any, **others: Any) -> dict[str, Any]:
    return {"messages": list(messages)} | others


@pytest.mark.parametrize(
    "sound",
    [
        example(QUESTION, ANSWER),
        example({"role": "system", "content": "Be brief."}, QUESTION | {"name": "ann"}, ANSWER | {"weight": 1}),
        example(QUESTION, ANSWER | {"weight": 0}, QUESTION, ANSWER),
        example(
            QUESTION,
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "shelf 4"},
            ANSWER,
            tools=[TOOL],
            parallel_tool_calls=False,
        ),
        example(QUESTION, {"role": "assistant", "tool_calls": [CALL]}),
    ],
)
def test_a_sound_example_has_no_problems_and_keeps_its_messages(sound: dict[str, Any]):
    normal = READER.normalize(sound)
    assert normal["messages"] == [{"content": ""} | drop_nulls(message) for message in sound["messages"]]
    assert normal.get("tools") == sound.get("tools")
    assert read_block(json.dumps(sound).encode()) is not None


def drop_nulls(message: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if value is not None}


def text(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in texts]


LEGACY_CALL = {"name": "find_part", "arguments": '{"part": "hinge"}'}


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        (
            example(
                {"role": "system", "content": text("Be ", "brief.")}, {"role": "user", "content": text("Hi")}, ANSWER
            ),
            example({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}, ANSWER),
        ),
        (example({"role": "developer", "content": "Be brief."}, ANSWER),) * 2,
        (
            example(QUESTION | {"name": None}, ANSWER | {"refusal": None, "audio": None, "weight": None}, tools=None),
            example(QUESTION, ANSWER),
        ),
        (example(QUESTION, {"role": "assistant", "refusal": "No."}), example(QUESTION, ANSWER | {"content": "No."})),
        (
            example(QUESTION, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}),
            example(QUESTION, ANSWER | {"content": "No."}),
        ),
        (
            example(
                QUESTION,
                {"role": "assistant", "content": None, "function_call": LEGACY_CALL},
                {"role": "function", "name": "find_part", "content": None},
                ANSWER,
                functions=[TOOL["function"]],
            ),
            example(
                QUESTION,
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"id": LEGACY_CALL_ID.format(1), "type": "function", "function": LEGACY_CALL}],
                },
                {"role": "tool", "name": "find_part", "content": "", "tool_call_id": LEGACY_CALL_ID.format(1)},
                ANSWER,
                tools=[TOOL],
            ),
        ),
        (
            example(QUESTION, ANSWER, tools=[TOOL | {"function": {"name": "f", "parameters": {"a": {"b": None}}}}]),
            example(QUESTION, ANSWER, tools=[TOOL | {"function": {"name": "f", "parameters": {"a": {}}}}]),
        ),
        (example(QUESTION, ANSWER, id=7, source="forum"), example(QUESTION, ANSWER)),
    ],
)
def test_all_that_the_schema_of_openai_allows_is_read(written: dict[str, Any], normal: dict[str, Any]):
    assert READER.normalize(written) == normal


@pytest.mark.parametrize(
    ("broken", "path", "code"),
    [
        (["messages"], "$", "data_type"),
        ("text", "$", "data_type"),
        (None, "$", "data_type"),
        ({}, "$.messages", "missing_messages_list"),
        ({"messages": []}, "$.messages", "missing_messages_list"),
        ({"messages": {"role": "user"}}, "$.messages", "missing_messages_list"),
        (example(7, ANSWER), "$.messages[0]", "data_type"),
        (example({"content": "hello"}, ANSWER), "$.messages[0]", "message_missing_key"),
        (example({"role": "user"}, ANSWER), "$.messages[0]", "message_missing_key"),
        (example(QUESTION | {"mood": "cross"}, ANSWER), "$.messages[0]", "message_unrecognized_key"),
        (example({"role": "human", "content": "hello"}, ANSWER), "$.messages[0].role", "unrecognized_role"),
        (example({"role": ["user"], "content": "hello"}, ANSWER), "$.messages[0].role", "unrecognized_role"),
        (example({"role": "user", "content": None}, ANSWER), "$.messages[0]", "message_missing_key"),
        (example({"role": "user", "content": []}, ANSWER), "$.messages[0].content", "empty_content"),
        (example({"role": "user", "content": text(" ")}, ANSWER), "$.messages[0].content", "empty_content"),
        (
            example({"role": "user", "content": [{"type": "text"}]}, ANSWER),
            "$.messages[0].content[0]",
            "missing_content",
        ),
        (
            example({"role": "user", "content": [*text("Look:"), {"type": "image_url", "image_url": {}}]}, ANSWER),
            "$.messages[0].content[1]",
            "unsupported_content_part",
        ),
        (example({"role": "user", "content": ["Hi"]}, ANSWER), "$.messages[0].content[0]", "unsupported_content_part"),
        (example(QUESTION, ANSWER | {"audio": {"id": "a"}}), "$.messages[1]", "message_unrecognized_key"),
        (example(QUESTION, ANSWER | {"refusal": "No."}), "$.messages[1].refusal", "invalid_refusal"),
        (example(QUESTION | {"refusal": "No."}, ANSWER), "$.messages[0].refusal", "invalid_refusal"),
        (example(QUESTION, ANSWER | {"function_call": "f"}), "$.messages[1].function_call", "invalid_function_call"),
        (
            example(QUESTION, ANSWER | {"function_call": LEGACY_CALL, "tool_calls": [CALL]}),
            "$.messages[1].function_call",
            "invalid_function_call",
        ),
        (
            example({"role": "function", "name": "find_part", "content": "4"}, ANSWER),
            "$.messages[0].name",
            "unknown_tool_call",
        ),
        (
            example(
                QUESTION,
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "function", "name": "call_1", "content": "4"},
            ),
            "$.messages[2].name",
            "unknown_tool_call",
        ),
        (example({"role": "function", "content": "4"}, ANSWER), "$.messages[0]", "message_missing_key"),
        (example(QUESTION, ANSWER, functions=[TOOL]), "$.functions[0]", "invalid_tools"),
        (example({"role": "user", "content": 5}, ANSWER), "$.messages[0].content", "missing_content"),
        (example(QUESTION, {"role": "assistant", "content": " \n"}), "$.messages[1].content", "empty_content"),
        (example(QUESTION), "$.messages", "example_missing_assistant_message"),
        (example(QUESTION, ANSWER | {"weight": 0}), "$.messages", "example_missing_assistant_message"),
        (example(QUESTION, ANSWER | {"weight": 2}), "$.messages[1].weight", "invalid_weight"),
        (example(QUESTION, ANSWER | {"weight": True}), "$.messages[1].weight", "invalid_weight"),
        (example(QUESTION | {"weight": 1}, ANSWER), "$.messages[0].weight", "invalid_weight"),
        (example(QUESTION | {"tool_calls": [CALL]}, ANSWER), "$.messages[0].tool_calls", "invalid_tool_calls"),
        (example(QUESTION, ANSWER | {"tool_calls": []}), "$.messages[1].tool_calls", "invalid_tool_calls"),
        (
            example(QUESTION, ANSWER | {"tool_calls": [CALL | {"function": {"name": "f", "arguments": "{"}}]}),
            "$.messages[1].tool_calls[0]",
            "invalid_tool_calls",
        ),
        (
            example(QUESTION, ANSWER | {"tool_calls": [CALL | {"function": {"name": "f", "arguments": "[" * 9999}}]}),
            "$.messages[1].tool_calls[0]",
            "invalid_tool_calls",
        ),
        (example({"role": "tool", "content": "shelf 4"}, ANSWER), "$.messages[0]", "message_missing_key"),
        (
            example({"role": "tool", "content": "shelf 4", "tool_call_id": "call_9"}, ANSWER),
            "$.messages[0].tool_call_id",
            "unknown_tool_call",
        ),
        (example(QUESTION, ANSWER, tools="find_part"), "$.tools", "invalid_tools"),
        (example(QUESTION, ANSWER, tools=[TOOL, {"type": "function"}]), "$.tools[1]", "invalid_tools"),
        (example(QUESTION, ANSWER, parallel_tool_calls="no"), "$.parallel_tool_calls", "invalid_tools"),
    ],
)
def test_an_invalid_example_has_a_path_and_a_code(broken: Any, path: str, code: str):
    assert [problem[:2] for problem in find_problems(broken)] == [(path, code)]


def test_every_error_of_an_example_is_found():
    broken = example({"role": "human", "mood": "cross"}, 7, QUESTION)
    assert [problem[:2] for problem in find_problems(broken)] == [
        ("$.messages[0]", "message_unrecognized_key"),
        ("$.messages[0].role", "unrecognized_role"),
        ("$.messages[0]", "message_missing_key"),
        ("$.messages[1]", "data_type"),
        ("$.messages", "example_missing_assistant_message"),
    ]


def test_messages_quote_what_users_wrote_briefly_and_without_nul():
    (problem,) = find_problems(example(QUESTION | {"\0" * 5000: 1}, ANSWER))
    assert "\0" not in problem[2]
    assert len(problem[2]) < 200


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"prompt": "a", "completion": "b"}, "prompt_completion"),
        ({"instruction": "a", "input": "", "output": "b"}, "alpaca"),
        ({"conversations": []}, "sharegpt"),
        ({"input": {}, "preferred_output": [], "non_preferred_output": []}, "dpo"),
        (example(QUESTION, ANSWER, prompt="a", completion="b"), "openai_chat"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "dpo"),
        ({"question": "a"}, None),
    ],
)
def test_formats_are_recognised_by_their_keys(other: Any, name: str | None):
    assert detect_format(other, {}) == name


def test_tokens_are_estimated_from_bytes():
    (conversation,) = conversations_of(
        example({"role": "user", "content": "ab" * 8}, {"role": "assistant", "content": "é"})
    )
    assert estimate_tokens(conversation) == 5 + 8


CONTENT: Any = st.sampled_from([None, "", " ", "Hi", "é", 5, text("Hi"), text("")])
MESSAGES: Any = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function", "human", None]),
        "content": CONTENT,
        "name": st.sampled_from([None, "find_part", 3]),
        "weight": st.sampled_from([None, 0, 1, 2, True, 1.0]),
        "refusal": st.sampled_from([None, "No."]),
        "tool_call_id": st.sampled_from([None, "call_1", "find_part"]),
        "tool_calls": st.sampled_from([None, [], [CALL], [CALL | {"id": "find_part"}], [CALL | {"type": "x"}]]),
        "function_call": st.sampled_from([None, LEGACY_CALL, {"name": "call_1", "arguments": "{}"}]),
    },
)
EXAMPLES: Any = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGES, max_size=4)},
    optional={
        "tools": st.sampled_from([None, [], [TOOL], [TOOL, {}], [{"type": "function", "function": {"name": ""}}]]),
        "functions": st.sampled_from([None, [TOOL["function"]], [TOOL]]),
        "parallel_tool_calls": st.sampled_from([None, True, 1]),
        "id": st.integers(),
    },
)


@given(EXAMPLES)
def test_the_fast_reading_accepts_what_the_rules_accept_and_finds_the_same(written: dict[str, Any]):
    line = json.dumps(written).encode()
    fast = read_block(line)
    try:
        exact = figures_of(READER.read(line))
    except InvalidExample:
        assert fast is None
        return
    assert READER.normalize(READER.normalize(written)) == READER.normalize(written)
    assert fast in (None, [exact])
    assert read_line(line) == (fast and fast[0])


@pytest.mark.parametrize(
    ("line", "code", "hint"),
    [
        (b"\xef\xbb\xbf{}", "invalid_json", "byte order mark"),
        (b'{"a": 1}\r{"a": 2}\r', "invalid_json", "CR alone"),
        (b'{"a": NaN}', "invalid_json", "NaN"),
        (b'{"a": "\\ud800abcdef"}', "invalid_json", "surrogate"),
        (b'{"a": "\x00"}', "invalid_json", "not JSON"),
        (b'{"a":' * 50_000, "invalid_json", "nested too deeply"),
        (b'{"a": "\xff"}', "not_utf8", "byte 8"),
    ],
)
def test_a_line_that_is_not_json_is_explained(line: bytes, code: str, hint: str):
    with pytest.raises(InvalidExample) as invalid:
        READER.read(line)
    (problem,) = invalid.value.problems
    assert (problem.path, problem.code) == ("$", code)
    assert hint in problem.message
