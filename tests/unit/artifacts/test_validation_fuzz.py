"""Damaged files of every kind: validation ends with a report, and what it calls ready trainers can read."""

import gzip
import json
from typing import Any

from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from brightrun.artifacts.datasets.models import ReadingOptions
from brightrun.artifacts.datasets.rules.report import write_report
from brightrun.artifacts.datasets.rules.validation import ReadingLimits, Validation, convert
from brightrun.datasets.examples import ExampleReader
from brightrun.datasets.models import DPO, OPENAI_CHAT

CALL = {"name": "f", "arguments": "{}"}
ROWS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": "Hé"}, {"role": "assistant", "content": "Hello, Ann."}]},
    {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": None, "function_call": CALL},
            {"role": "function", "name": "f", "content": "4"},
            {"role": "assistant", "content": "Four.", "weight": 1},
        ],
        "functions": [{"name": "f"}],
    },
    {"instruction": "Say", "input": "it", "output": "So it is.", "history": [["a", "b"]]},
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "function_call", "value": json.dumps(CALL)}]},
    {"prompt": "Why?", "completion": "So it is."},
    {"prompt": "Why?", "chosen": "So it is.", "rejected": "No."},
]
TABLE = b"prompt,completion\n" + b'"Why, ""Ann""?",So it is.\n' * 10


def files() -> list[bytes]:
    found = [TABLE]
    for row in ROWS:
        found += [b"\n".join([json.dumps(row).encode()] * 10), json.dumps([row] * 10, indent=1).encode()]
    return found + [compress(content) for content in found for compress in (gzip.compress, zstd.compress)]


FILES = files()
SNIPPETS = [
    b"",
    b"\n",
    b"\r",
    b"\0",
    b'"',
    b"{",
    b"]",
    b",",
    b"null",
    b"NaN",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\\ud800",
    b"1e999",
    b"[]",
]
Cut = tuple[int, int, bytes]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 40), st.sampled_from(SNIPPETS)), max_size=3),
    st.sampled_from([7, 1000, 1 << 20]),
    st.booleans(),
)
def test_a_damaged_file_is_reported_on_and_a_ready_one_is_read(content: bytes, cuts: list[Cut], piece: int, drop: bool):
    for place, length, snippet in cuts:
        start = place % (len(content) + 1)
        content = content[:start] + snippet + content[start + length :]

    def pieces() -> Any:
        return (content[start : start + piece] for start in range(0, len(content), piece))

    options = ReadingOptions(drop_invalid=drop)
    report = Validation(options, ReadingLimits(line_bytes=5000, file_bytes=100_000)).run(pieces())
    assert report.error_count == len([issue for issue in report.issues if issue.severity == "error"])
    assert all("\0" not in issue.message + issue.path for issue in report.issues)
    issues = sorted(report.issues, key=lambda issue: issue.line)
    rows = b"".join(write_report(pieces(), options, issues, "jsonl")).splitlines()
    assert len(rows) == len(issues)
    if report.is_ready(options):
        converted = b"".join(convert(pieces(), report.format, options))
        lines = (converted if report.needs_conversion else content.removeprefix(b"\xef\xbb\xbf")).split(b"\n")
        reader = ExampleReader(DPO if report.format == DPO else OPENAI_CHAT)
        assert len([reader.read(line) for line in lines if line.strip()]) == report.training_pairs
