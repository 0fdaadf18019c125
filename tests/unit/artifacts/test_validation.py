"""A whole data set, fed in pieces of any size."""

import csv
import gzip
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.artifacts.datasets.models import ReadingOptions, Report
from brightrun.artifacts.datasets.rules.report import write_report
from brightrun.artifacts.datasets.rules.validation import ReadingLimits, Validation, convert
from brightrun.datasets.models import InvalidExample

GOOD = json.dumps({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ahoy"}]}).encode()


def check(content: bytes, piece: int = 1 << 20, **limits: int) -> Report:
    pieces = (content[start : start + piece] for start in range(0, len(content), piece))
    return Validation(ReadingOptions(), ReadingLimits(**limits)).run(pieces)


def lines(*broken: bytes, good: int = 10) -> bytes:
    return b"\n".join([*[GOOD] * good, *broken]) + b"\n"


def found(report: Report, severity: str = "error") -> list[tuple[int, str]]:
    return [(issue.line, issue.code) for issue in report.issues if issue.severity == severity]


def chat(question: str, *answers: str) -> bytes:
    messages = [{"role": "user", "content": question}, *({"role": "assistant", "content": text} for text in answers)]
    return json.dumps({"messages": messages}).encode()


VARIED = [chat(f"What is {number}?", f"It is {number}.") for number in range(10)]


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
    (blank,) = [issue for issue in report.issues if issue.code == "blank_lines"]
    assert (blank.line, blank.severity) == (0, "warning")
    assert blank.message.startswith("2 ")


def test_the_first_line_tells_that_a_data_set_holds_preferences():
    outputs = {name: [{"role": "assistant", "content": name}] for name in ("preferred_output", "non_preferred_output")}
    pair = json.dumps({"input": {"messages": [{"role": "user", "content": "Hi"}]}} | outputs).encode()
    report = check(b"\n".join([*[pair] * 10, GOOD]))
    assert (report.format, report.training_pairs) == ("dpo", 10)
    assert {line for line, _ in found(report)} == {11}
    assert report.errors_by_code == {"data_type": 1, "missing_output": 2}


def test_all_errors_are_counted_and_the_first_are_kept():
    report = check(lines(*[b"7"] * 20, b"{"), issues=3)
    assert report.errors_by_code == {"data_type": 20, "invalid_json": 1}
    assert [line for line, _ in found(report)] == [11, 12, 13]


def test_conspicuous_examples_are_warned_of_and_stay_valid():
    long = chat("Why?", "so " * 3000)
    report = check(b"\n".join([*VARIED, VARIED[3], long, chat("Why?", "42"), chat("Why?", "So it is.", "Yes, it is.")]))
    assert (report.error_count, report.training_pairs) == (0, 14)
    assert sorted(found(report, "warning")) == [
        (11, "duplicate_example"), (12, "long_example"), (13, "short_example"), (14, "repeated_role")
    ]  # fmt: skip
    (duplicate,) = [issue for issue in report.issues if issue.code == "duplicate_example"]
    assert duplicate.message.endswith("line 4")


@pytest.mark.parametrize(
    ("text", "code", "masked"),
    [
        ("write to ann.lee+x@mail.example.com, please", "email_address", "a…@mail.example.com"),
        ("the key is sk-abcdefghijklmnopqrst0123", "possible_secret", "sk-a… (27 characters)"),
        ("AKIAIOSFODNN7EXAMPLE", "possible_secret", "AKIA… (20 characters)"),
        ("ghp_" + "a1" * 18, "possible_secret", "ghp_… (40 characters)"),
        ("-----BEGIN RSA PRIVATE KEY-----", "possible_secret", "-----BEGIN … (31 characters)"),
    ],
)
@pytest.mark.parametrize("piece", [50, 1 << 20])
def test_likely_secrets_and_addresses_are_shown_masked_with_their_line(text: str, code: str, masked: str, piece: int):
    report = check(b"\n".join([*VARIED, b"broken", chat(text, "Noted, thank you.")]), piece)
    assert found(report, "warning") == [(12, code)]
    (warning,) = [issue for issue in report.issues if issue.severity == "warning"]
    assert warning.message.endswith(masked)


@pytest.mark.parametrize("text", ["an @ sign", "me@home", "a risk-taking desk", "sk-short", "@example.com", "x@y@z"])
def test_other_text_is_not_taken_for_a_secret(text: str):
    assert found(check(b"\n".join([*VARIED, chat(text, "Noted, thank you.")])), "warning") == []


def test_statistics_tell_roles_shares_and_a_histogram():
    figures = check(b"\n".join([*VARIED, chat("Why?", "so " * 3000)])).statistics
    assert figures["messages_by_role"] == {"user": 11, "assistant": 11}
    assert figures["histogram"] == [
        {"min_tokens": 8, "max_tokens": 15, "examples": 10}, {"min_tokens": 2048, "max_tokens": 4095, "examples": 1}
    ]  # fmt: skip
    assert figures["tokens_estimated"]
    assert figures["tokens"] == 10 * 13 + figures["longest_tokens"]
    assert 0.95 < figures["learned_share"] < 1


def test_invalid_examples_can_be_dropped():
    content = b"\n".join([*VARIED, b"broken", VARIED[0]])
    options = ReadingOptions(drop_invalid=True)
    report = Validation(options).run(iter([content]))
    assert (report.error_count, report.training_pairs, report.needs_conversion) == (1, 11, True)
    assert report.is_ready(options)
    assert not report.is_ready(ReadingOptions())
    assert b"".join(convert(iter([content]), report.format, options)).count(b"\n") == 11
    with pytest.raises(InvalidExample):
        list(convert(iter([content]), report.format, ReadingOptions()))
    few = Validation(options).run(iter([b"\n".join([*VARIED[:9], b"broken"])]))
    assert not few.is_ready(options)
    cut = Validation(options).run(iter([gzip.compress(b"\n".join(VARIED * 2))[:-10]]))
    assert not cut.is_ready(options)


def report_of(content: bytes, file_format: Any, piece: int = 1 << 20) -> bytes:
    issues = sorted(check(content).issues, key=lambda issue: issue.line)
    pieces = (content[start : start + piece] for start in range(0, len(content), piece))
    return b"".join(write_report(pieces, ReadingOptions(), issues, file_format))


@pytest.mark.parametrize("piece", [30, 1 << 20])
def test_a_report_has_each_issue_beside_its_line(piece: int):
    content = b"\n".join([b"=1+1", *VARIED[:3], b"", b'{"messages": 5}', b"x\xff" + b"y" * 5000])
    rows = [json.loads(row) for row in report_of(content, "jsonl", piece).splitlines()]
    assert [(row["line"], row["severity"], row["code"], row["text"][:20]) for row in rows] == [
        (0, "error", "too_few_examples", ""),
        (0, "warning", "blank_lines", ""),
        (1, "error", "invalid_json", "=1+1"),
        (6, "error", "missing_messages_list", '{"messages": 5}'),
        (7, "error", "not_utf8", "x\ufffd" + "y" * 18),
    ]
    assert len(rows[-1]["text"]) == 2000
    table = list(csv.DictReader(io.StringIO(report_of(content, "csv", piece).decode(), newline="")))
    assert [row["code"] for row in table] == [row["code"] for row in rows]
    assert table[2]["text"] == "'=1+1", "a spreadsheet must not run it"


def test_a_report_on_a_file_that_cannot_be_read_to_its_end_has_all_issues():
    content = gzip.compress((b"broken" * 5000 + b"\n") * 3)[:-4]
    rows = [json.loads(row) for row in report_of(content, "jsonl").splitlines()]
    assert [row["line"] for row in rows] == [1, 2, 3, 4]


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
