"""The report of a validation as a file: each issue beside the line that it speaks of."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal

import msgspec

from brightrun.artifacts.datasets.models import Issue, ReadingOptions
from brightrun.contracts.artifacts import MAX_UPLOAD_BYTES
from brightrun.contracts.spreadsheets import write_csv
from brightrun.datasets.containers import Lines, Unreadable

ReportFormat = Literal["jsonl", "csv"]
COLUMNS = ("line", "severity", "path", "code", "message", "text")
MAX_TEXT_BYTES = 2000
"""Of a line in the report."""


def write_report(
    pieces: Iterator[bytes], options: ReadingOptions, issues: Sequence[Issue], file_format: ReportFormat
) -> Iterator[bytes]:
    """Rows of `COLUMNS` for the issues, which are sorted by line; those without a line in the file come first."""
    whole = [issue for issue in issues if issue.line == 0]
    if file_format == "csv":
        yield ",".join(COLUMNS).encode() + b"\r\n"
    yield _rows(whole, b"", file_format)
    by_line = groupby(issues[len(whole) :], lambda issue: issue.line)
    number, found = next(by_line, (0, iter(())))
    try:
        lines = Lines(pieces, options.columns, MAX_UPLOAD_BYTES)
        first = lines.first_line
        for block in lines:
            content = block.split(b"\n")
            after = first + block.count(b"\n")
            while number and number < after + bool(content[-1]):
                yield _rows(list(found), content[max(number - first, 0)], file_format)
                number, found = next(by_line, (0, iter(())))
            first = after
            if not number:
                return
    except Unreadable:
        pass
    while number:
        yield _rows(list(found), b"", file_format)
        number, found = next(by_line, (0, iter(())))


def _rows(issues: list[Issue], line: bytes, file_format: ReportFormat) -> bytes:
    text = line[:MAX_TEXT_BYTES].decode(errors="replace")
    rows = [[issue.line, issue.severity, issue.path, issue.code, issue.message, text] for issue in issues]
    if file_format == "jsonl":
        return b"".join(msgspec.json.encode(dict(zip(COLUMNS, row, strict=True))) + b"\n" for row in rows)
    return write_csv(rows).encode()
