"""Files of examples as JSON Lines: gzip and zstd are decompressed; arrays and tables become one line an example.

The lines of an array are its elements, those of a Parquet file its rows, and those of a CSV file its rows with the
header.
"""

import codecs
import csv
import io
import json
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Protocol

import msgspec

from brightrun.datasets.examples import detect_format
from brightrun.datasets.models import MAX_LINE_BYTES

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

STEP_BYTES = 1024 * 1024
"""The most that is decompressed at once."""
GZIP, ZSTD, PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"
MAX_CAUSE_BYTES = 10_000
PADDING = b"\0"
"""May follow the end of a compressed file, as on tapes."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
DELIMITERS = ",;\t"


class Unreadable(Exception):
    """The file as a whole cannot be read on: a stable code, and what is expected."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Lines:
    """The JSON Lines of a file: iterate over blocks of whole lines. `as_is`: the file's own lines are those.

    A line longer than `max_line_bytes` is cut after so many. Raises Unreadable, also while blocks are read; and beyond
    `max_bytes` of decompressed data.
    """

    def __init__(
        self,
        pieces: Iterator[bytes],
        columns: Mapping[str, str],
        max_bytes: int,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        start, pieces = _peek(pieces, 4)
        self.first_line = 1
        self.as_is = not start.startswith((GZIP, ZSTD, PARQUET))
        if start.startswith(PARQUET):
            pieces = _limited(_parquet_rows(pieces), max_bytes)
        elif not self.as_is:
            pieces = _limited(_decompress(pieces, start.startswith(GZIP)), max_bytes)
            start, pieces = _peek(pieces, 4)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise Unreadable("not_utf8", "the file is UTF-16: save it as UTF-8")
        start, pieces = _peek(_without_mark(pieces), 64 * 1024)
        delimiter = _delimiter(start, columns)
        if start.lstrip().startswith(b"["):
            self.as_is = False
            self._blocks = _array(pieces, max_line_bytes)
        elif delimiter:
            self.as_is, self.first_line = False, 2
            self._blocks = _table(pieces, delimiter, max_line_bytes)
        else:
            self._blocks = _whole_lines(pieces, max_line_bytes)

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Gzip:
    """One member of a gzip file, with the interface of the other decompressors."""

    def __init__(self) -> None:
        self._decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        self.unused_data = b""
        self.eof = False

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        output = self._decompressor.decompress(self._decompressor.unconsumed_tail + data, max_length)
        self.eof, self.unused_data = self._decompressor.eof, self._decompressor.unused_data
        return output


def _decompress(pieces: Iterator[bytes], gzip: bool) -> Iterator[bytes]:
    """The content of all members of a gzip file, or of all frames of a zstd file."""
    name = "gzip" if gzip else "zstd"
    decompressor: _Decompressor | None = None
    try:
        for piece in pieces:
            data = piece if decompressor else piece.lstrip(PADDING)
            while data:
                decompressor = decompressor or (_Gzip() if gzip else ZstdDecompressor())
                output = decompressor.decompress(data, STEP_BYTES)
                while output:
                    yield output
                    output = b"" if decompressor.eof else decompressor.decompress(b"", STEP_BYTES)
                data = b""
                if decompressor.eof:
                    data, decompressor = decompressor.unused_data.lstrip(PADDING), None
    except (zlib.error, ZstdError) as error:
        raise Unreadable("invalid_compression", f"the {name} file is damaged: {error}") from None
    if decompressor is not None:
        raise Unreadable("invalid_compression", f"the {name} file ends too early: upload it again")


def _parquet_rows(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The JSON lines of a Parquet file, which is read from its end and so lies on disk meanwhile."""
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        file.writelines(pieces)
        file.flush()
        command = [sys.executable, "-m", "brightrun.datasets.parquet", file.name]
        with subprocess.Popen(command, env={}, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            assert process.stderr is not None  # noqa: S101 - it is a pipe
            try:
                while output := process.stdout.read(STEP_BYTES):
                    yield output
                cause = process.stderr.read(MAX_CAUSE_BYTES).decode(errors="replace").strip().rpartition("\n")[2]
            finally:
                process.kill()
        if cause or process.returncode:
            raise Unreadable("invalid_parquet", f"the Parquet file cannot be read: {cause or 'its reader crashed'}")


def _limited(pieces: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > max_bytes:
            message = f"the file has more than {max_bytes / 1024**3:.3g} GiB when decompressed"
            raise Unreadable("decompressed_too_large", message)
        yield piece


def _whole_lines(pieces: Iterator[bytes], max_line_bytes: int) -> Iterator[bytes]:
    """Blocks of whole lines; of a line that is too long, `max_line_bytes` + 1 and then nothing until it ends."""
    rest = bytearray()
    for piece in pieces:
        end = piece.rfind(b"\n") + 1
        if end:
            rest_end = piece.find(b"\n") + 1
            _append(rest, piece[:rest_end], max_line_bytes)
            yield bytes(rest) + piece[rest_end:end]
            rest.clear()
        _append(rest, piece[end:], max_line_bytes)
    if rest:
        yield bytes(rest)


def _append(rest: bytearray, part: bytes, max_line_bytes: int) -> None:
    rest += part[: max(max_line_bytes + 1 - len(rest), 0)]
    if part.endswith(b"\n") and not rest.endswith(b"\n"):
        rest += b"\n"


def _array(pieces: Iterator[bytes], max_line_bytes: int) -> Iterator[bytes]:
    """A line for each element of a JSON array."""
    texts, scan = _decoded(pieces), json.JSONDecoder().raw_decode
    buffer, position, enough, expected = "", 0, 0, "["
    for text in chain(texts, [""]):
        buffer, position = buffer[position:] + text, 0
        lines: list[str] = []
        while (position := _skip_space(buffer, position)) < len(buffer):
            character = buffer[position]
            if character == "]" and expected != "[":
                if buffer[position + 1 :].strip() or any(more.strip() for more in texts):
                    raise Unreadable("invalid_json", "there is more after the end of the JSON array")
                yield _join(lines)
                return
            if expected:
                if character not in expected:
                    raise Unreadable("invalid_json", f"an element of the JSON array is not followed by {expected} or ]")
                expected, position = "", position + 1
                continue
            rest = len(buffer) - position
            if text and rest < enough:
                break
            try:
                _, end = scan(buffer, position)
            except (ValueError, RecursionError) as error:
                if rest > max_line_bytes or not text:
                    raise Unreadable("invalid_json", f"an element of the JSON array cannot be read: {error}") from None
                enough = 2 * rest
                break
            if end == len(buffer) and text:
                break
            lines.append(buffer[position:end].replace("\n", " "))
            position, enough, expected = end, 0, ","
        if lines:
            yield _join(lines)
    raise Unreadable("invalid_json", "the JSON array does not end: upload the file again")


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _table(pieces: Iterator[bytes], delimiter: str, max_line_bytes: int) -> Iterator[bytes]:
    """A line for each row of a CSV file, with the header's names as keys; empty cells are absent."""
    csv.field_size_limit(max_line_bytes)
    lines = _RowLines(pieces, max_line_bytes)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    encode = msgspec.json.Encoder().encode
    block = bytearray()
    try:
        header = next(rows)
        for row in rows:
            lines.row_bytes = 0
            if len(row) > len(header):
                block += encode(f"a row of {len(row)} cells under a header of {len(header)}") + b"\n"
            else:
                cells = {name: cell for name, cell in zip(header, row, strict=False) if cell}
                block += encode(cells) + b"\n" if cells else b"\n"
            if len(block) >= STEP_BYTES:
                yield bytes(block)
                block.clear()
    except csv.Error as error:
        yield bytes(block)
        raise Unreadable("invalid_csv", f"not CSV: {error}; a quote within a quoted cell must be doubled") from None
    yield bytes(block)


class _RowLines:
    """The text lines of a CSV file. A row over the limit, as after a quote that is never closed, ends the reading."""

    def __init__(self, pieces: Iterator[bytes], max_row_bytes: int) -> None:
        self._lines = _text_lines(pieces, max_row_bytes)
        self._max_row_bytes = max_row_bytes
        self.row_bytes = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.row_bytes += len(line)
        if self.row_bytes > self._max_row_bytes:
            raise csv.Error("a row is too long, as after a quote that is not closed")
        return line


def _text_lines(pieces: Iterator[bytes], max_line_bytes: int) -> Iterator[str]:
    for block in _whole_lines(pieces, max_line_bytes):
        yield from io.StringIO(_decode(block), newline="")


def _decoded(pieces: Iterator[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for piece in pieces:
        try:
            text = decoder.decode(piece)
        except UnicodeDecodeError as error:
            raise Unreadable("not_utf8", f"the file is not UTF-8: {error.reason}") from None
        if text:
            yield text


def _decode(block: bytes) -> str:
    try:
        return block.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("not_utf8", f"the file is not UTF-8: {error.reason}") from None


def _delimiter(start: bytes, columns: Mapping[str, str]) -> str | None:
    """The delimiter of a CSV file whose header names the columns of a format; None if it is none."""
    if start.lstrip().startswith((b"{", b"[")):
        return None
    header = start.split(b"\n", 1)[0].decode(errors="replace").rstrip("\r")
    for delimiter in DELIMITERS:
        try:
            row = next(csv.reader([header], delimiter=delimiter), [])
        except csv.Error:
            continue
        if detect_format(row, columns):
            return delimiter
    return None


def _join(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _without_mark(pieces: Iterator[bytes]) -> Iterator[bytes]:
    _, pieces = _peek(pieces, len(BYTE_ORDER_MARK))
    return chain([next(pieces, b"").removeprefix(BYTE_ORDER_MARK)], pieces)


def _peek(pieces: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """The first `size` bytes, or all there are, and the pieces as if nothing had been read."""
    start = b""
    while len(start) < size and (piece := next(pieces, b"")):
        start += piece
    return start, chain([start] if start else [], pieces)
