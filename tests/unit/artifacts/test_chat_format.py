"""Every error that one example can have."""

from typing import Any

import pytest

from brightrun.artifacts.datasets.rules.chat_format import detect_format, estimate_tokens, find_problems

ANSWER = {"role": "assistant", "content": "Oil the hinge first."}
QUESTION = {"role": "user", "content": "The door squeaks."}
CALL = {"id": "call_1", "type": "function", "function": {"name": "find_part", "arguments": '{"part": "hinge"}'}}
TOOL = {"type": "function", "function": {"name": "find_part", "parameters": {"type": "object"}}}


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
def test_a_sound_example_has_no_problems(sound: dict[str, Any]):
    assert list(find_problems(sound)) == []


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
        (example({"role": "user", "content": None}, ANSWER), "$.messages[0].content", "missing_content"),
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
    assert [(problem[0], problem[1]) for problem in find_problems(broken)] == [(path, code)]


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
        ([], "openai_chat"),
    ],
)
def test_other_formats_are_recognised(other: Any, name: str):
    assert detect_format(other) == name


def test_tokens_are_estimated_from_bytes():
    assert estimate_tokens(example({"role": "user", "content": "ab" * 8}, {"role": "assistant", "content": "é"})) == (
        5 + 8
    )
