"""Files of every kind as lines, cut into pieces anywhere, and what is wrong with those that cannot be read."""

import csv
import gzip
import io
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.parquet import write_table

from brightrun.datasets.containers import Lines, Unreadable

ROWS = [{"instruction": f"Say {number}", "input": 'a,b\n"c"', "output": "é" * number} for number in range(12)]
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
SIZES = st.integers(1, 50) | st.just(1 << 20)


def cut(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def rows_of(content: bytes, size: int = 1 << 20, max_bytes: int = 1 << 20, line_bytes: int = 10_000) -> list[Any]:
    blocks = list(Lines(cut(content, size), {}, max_bytes, line_bytes))
    assert all(block.endswith(b"\n") for block in blocks[:-1] if block)
    return [msgspec.json.decode(line) for line in b"".join(blocks).split(b"\n") if line]


def table(delimiter: str = ",") -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(ROWS[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return file.getvalue().encode()


def parquet(rows: list[Any]) -> bytes:
    sink = pa.BufferOutputStream()
    write_table(pa.Table.from_pylist(rows), sink, row_group_size=5)
    content: bytes = sink.getvalue().to_pybytes()
    return content


FILES = {
    "lines": JSONL,
    "lines without the last end": JSONL[:-1],
    "lines after a mark": b"\xef\xbb\xbf" + JSONL,
    "array": json.dumps(ROWS).encode(),
    "indented array": b"\xef\xbb\xbf \n" + json.dumps(ROWS, indent=2, ensure_ascii=False).encode() + b"\n",
    "table": table(),
    "table after a mark": b"\xef\xbb\xbf" + table(),
    "table with semicolons": table(";"),
    "table with tabs": table("\t"),
}
FILES |= {
    f"gzip of {name}": gzip.compress(content[:100]) + gzip.compress(content[100:]) for name, content in FILES.items()
}
FILES |= {"padded gzip": gzip.compress(JSONL) + bytes(10)}
FILES |= {
    f"zstd of {name}": zstd.compress(FILES[name][:100]) + zstd.compress(FILES[name][100:])
    for name in ("array", "lines")
}


@pytest.mark.parametrize("name", FILES)
@given(size=SIZES)
def test_every_file_has_the_same_rows_in_pieces_of_any_size(name: str, size: int):
    rows = rows_of(FILES[name], size)
    if "table" in name:
        expected = [{key: value for key, value in row.items() if value} for row in ROWS]
        assert [{key: value.replace("\r\n", "\n") for key, value in row.items()} for row in rows] == expected
    else:
        assert rows == ROWS


def test_lines_and_rows_are_counted_as_in_the_file():
    assert (Lines(iter([JSONL]), {}, 10**6).first_line, Lines(iter([table()]), {}, 10**6).first_line) == (1, 2)
    assert [Lines(iter([FILES[name]]), {}, 10**6).as_is for name in ("lines", "array", "table", "padded gzip")] == [
        True, False, False, False,
    ]  # fmt: skip


def test_columns_of_a_table_may_have_other_names():
    content = b"chat,note\n[],x\n"
    assert list(Lines(iter([content]), {"messages": "chat"}, 10**6)) == [b'{"chat":"[]","note":"x"}\n']
    assert list(Lines(iter([content]), {}, 10**6)) == [content], "no format has these columns"


UNREADABLE = {
    "truncated gzip": (gzip.compress(JSONL)[:-20], "invalid_compression"),
    "damaged gzip": (gzip.compress(JSONL)[:40] + b"damage" + gzip.compress(JSONL)[46:], "invalid_compression"),
    "truncated zstd": (zstd.compress(JSONL)[:-5], "invalid_compression"),
    "gzip bomb": (gzip.compress(bytes(2 << 20)), "decompressed_too_large"),
    "zstd bomb": (zstd.compress(bytes(2 << 20)), "decompressed_too_large"),
    "UTF-16": (JSONL.decode().encode("utf-16"), "not_utf8"),
    "broken Parquet": (b"PAR1" + bytes(100), "invalid_parquet"),
    "truncated Parquet": (parquet(ROWS)[:-50], "invalid_parquet"),
    "bracket": (b"[", "invalid_json"),
    "open array": (b"[1", "invalid_json"),
    "open array after an element": (b"[{}", "invalid_json"),
    "array without a comma": (b"[{} {}]", "invalid_json"),
    "array with an empty place": (b"[{}, }]", "invalid_json"),
    "array with more after it": (b"[{}] []", "invalid_json"),
    "deep array": (b"[" * 100_000, "invalid_json"),
    "array of other bytes": (b'[{"a": "\xff"}]', "not_utf8"),
    "endless element": (b'[{"a": "' + b"x" * 300_000, "invalid_json"),
    "open quote": (b'prompt,completion\n"a,b\n' + b"c\n" * 20_000, "invalid_csv"),
    "quote in a cell": (b'prompt,completion\n"a"b,c\n', "invalid_csv"),
    "table of other bytes": (b"prompt,completion\n\xff,b\n", "not_utf8"),
}


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("size", [100, 1 << 20])
def test_a_file_that_cannot_be_read_is_refused_with_a_code(name: str, size: int):
    content, code = UNREADABLE[name]
    with pytest.raises(Unreadable) as refused:
        rows_of(content, size)
    assert refused.value.code == code


def test_rows_with_too_many_cells_are_named():
    assert rows_of(b"prompt,completion\na,b,c\nd,e\n") == [
        "a row of 3 cells under a header of 2", {"prompt": "d", "completion": "e"}
    ]  # fmt: skip


def test_a_line_over_the_limit_is_cut():
    start = b"{}\n" * 30_000
    content = start + b"x" * 5000 + b"\n{}\n" + b"y" * 5000
    lines = b"".join(Lines(cut(content, 100), {}, 10**6, 1000)).removeprefix(start).split(b"\n")
    assert lines == [b"x" * 1001, b"{}", b"y" * 1001]


@pytest.mark.parametrize("size", [100, 1 << 20])
def test_rows_of_a_parquet_file_are_read_with_their_structure(size: int):
    assert rows_of(parquet(ROWS), size) == ROWS
    turns = [{"role": "user", "content": "Hi", "weight": None}, {"role": "assistant", "content": "é", "weight": 0}]
    odd = {"messages": turns, "at": datetime(2026, 1, 1), "score": float("nan"), "blob": b"x", "price": Decimal("1.5")}
    (row,) = rows_of(parquet([odd]), size)
    assert (row["messages"], row["score"]) == (turns, None)
    lines = Lines(iter([parquet(ROWS)]), {}, 10**6)
    assert (lines.as_is, lines.first_line) == (False, 1)


def test_a_parquet_file_that_grows_too_large_is_refused():
    content = parquet([{"prompt": "x" * 1000}] * 5000)
    with pytest.raises(Unreadable) as refused:
        rows_of(content, max_bytes=10**6)
    assert refused.value.code == "decompressed_too_large"


@given(st.binary(max_size=300), SIZES)
def test_any_bytes_are_lines_or_refused(content: bytes, size: int):
    def lines(size: int) -> Any:
        try:
            return b"".join(Lines(cut(content, size), {}, 1 << 20, 100))
        except Unreadable as refused:
            return refused.code

    assert isinstance(lines(size), (bytes, str))
