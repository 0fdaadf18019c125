"""A whole data set, fed in pieces of any size."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.artifacts.datasets.models import ReadingOptions, Report
from brightrun.artifacts.datasets.rules.validation import ReadingLimits, Validation

GOOD = json.dumps({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ahoy"}]}).encode()


def check(content: bytes, piece: int = 1 << 20, **limits: int) -> Report:
    pieces = (content[start : start + piece] for start in range(0, len(content), piece))
    return Validation(ReadingOptions(), ReadingLimits(**limits)).run(pieces)


def lines(*broken: bytes, good: int = 10) -> bytes:
    return b"\n".join([*[GOOD] * good, *broken]) + b"\n"


def found(report: Report) -> list[tuple[int, str]]:
    return [(issue.line, issue.code) for issue in report.issues]


def test_a_sound_data_set_is_measured():
    report = check(lines())
    assert report.error_count == 0
    assert (report.training_pairs, report.duplicates, report.format) == (10, 9, "openai_chat")
    assert report.tokens == 10 * (2 + 8)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"messages": [', "invalid_json"),
        (GOOD + b" trailing", "invalid_json"),
        (b'{"messages": NaN}', "invalid_json"),
        (b'{"messages": -Infinity}', "invalid_json"),
        (rb'{"messages": "\ud800"}', "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"messages": "\xff"}', "not_utf8"),
        (b'{"messages": "\xed\xa0\x80"}', "not_utf8"),
        (b"7", "data_type"),
    ],
)
def test_a_broken_line_is_named(line: bytes, code: str):
    report = check(lines(line, GOOD))
    assert found(report) == [(11, code)]
    assert report.training_pairs == 11


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf" + lines(), lines().replace(b"\n", b"\r\n"), lines()[:-1]])
def test_a_byte_order_mark_foreign_line_ends_and_a_missing_last_one_are_accepted(content: bytes):
    report = check(content)
    assert (report.error_count, report.training_pairs) == (0, 10)


def test_too_few_examples_are_an_error_of_the_whole():
    assert found(check(lines(good=9))) == [(0, "too_few_examples")]
    assert found(check(b"")) == [(0, "too_few_examples")]


@pytest.mark.parametrize("piece", [7, 64, 1 << 20])
def test_a_line_without_end_is_rejected_without_being_kept(piece: int):
    content = lines(b"x" * 1001, GOOD, b"y" * 5000)
    assert found(check(content, piece, line_bytes=1000)) == [(11, "line_too_long"), (13, "line_too_long")]
    assert found(check(lines() + b"z" * 5000, piece, line_bytes=1000)) == [(11, "line_too_long")]


def test_empty_lines_are_skipped_and_counted_once():
    report = check(lines(b"", b" \t\r", GOOD))
    assert (report.error_count, report.training_pairs) == (0, 11)
    assert [(issue.line, issue.code, issue.severity) for issue in report.issues] == [(0, "blank_lines", "warning")]
    assert report.issues[0].message.startswith("2 ")


def test_the_first_line_tells_that_a_data_set_holds_preferences():
    outputs = {name: [{"role": "assistant", "content": name}] for name in ("preferred_output", "non_preferred_output")}
    pair = json.dumps({"input": {"messages": [{"role": "user", "content": "Hi"}]}} | outputs).encode()
    report = check(b"\n".join([*[pair] * 10, GOOD]))
    assert (report.format, report.training_pairs) == ("dpo", 10)
    assert {issue.line for issue in report.issues} == {11}
    assert report.errors_by_code == {"data_type": 1, "missing_output": 2}


def test_all_errors_are_counted_and_the_first_are_kept():
    report = check(lines(*[b"7"] * 20, b"{"), issues=3)
    assert report.errors_by_code == {"data_type": 20, "invalid_json": 1}
    assert [issue.line for issue in report.issues] == [11, 12, 13]


JSON_LIKE: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["messages", "role", "content", "weight", "tool_calls", "tools"]), inner)
    ),
)


@given(
    st.lists(st.one_of(st.just(GOOD), st.binary(max_size=30), JSON_LIKE.map(lambda x: json.dumps(x).encode()))),
    st.integers(1, 40),
)
def test_the_report_does_not_depend_on_how_the_stream_is_cut(content: list[bytes], piece: int):
    whole = b"\n".join(content)
    assert check(whole, piece) == check(whole)
