"""A multipart form, read as it comes: its fields are kept, its one file is passed on and never held."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from brightrun.api.errors import BrokenForm, FileTooLarge

MAX_FIELDS = 20
MAX_FIELD_LENGTH = 4096
OVERHEAD = 256 * 1024
"""Bytes that a form may have beside its file."""


@dataclass(slots=True)
class _Part:
    header: bytes = b""
    value: bytes = b""
    disposition: bytes = b""
    name: str = ""
    is_file: bool = False
    content: bytes = b""


class Form:
    """The form of a request's body, whose file is in the field `file_field`.

    `find_file` reads up to the file, `read_file` its bytes and all that comes after them. `fields` are those that came
    so far, as a form may have them before or after its file.
    """

    def __init__(self, content_type: str, body: AsyncIterator[bytes], file_field: str, limit: int) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self._body = body
        self._file_field = file_field
        self._limit = limit
        self._size = self._file_size = 0
        self._part = _Part()
        self._pieces: list[bytes] = []
        self._ended = False
        self._parser = self._open(content_type)

    async def find_file(self) -> bool:
        """Read up to the beginning of the file; False if the form has none."""
        while self.filename is None and await self._read_on():
            pass
        return self.filename is not None

    async def read_file(self) -> AsyncIterator[bytes]:
        """The file in pieces; when the last is taken, the whole form was read."""
        while True:
            pieces, self._pieces = self._pieces, []
            for piece in pieces:
                self._file_size += len(piece)
                if self._file_size > self._limit:
                    raise FileTooLarge({"limit_bytes": self._limit})
                yield piece
            if not await self._read_on() and not self._pieces:
                return

    def _open(self, content_type: str) -> MultipartParser:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise BrokenForm("send multipart/form-data with a boundary")
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._take_header,
                    "on_header_value": self._take_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._name_part,
                    "on_part_data": self._take_content,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise BrokenForm(str(error)) from None

    async def _read_on(self) -> bool:
        """Parse one more piece of the body; False at its end. Raises BrokenForm where it is none."""
        piece = await anext(self._body, None)
        if piece is None:
            if not self._ended:
                raise BrokenForm("the form ends before its last boundary")
            return False
        self._size += len(piece)
        if self._size > self._limit + OVERHEAD:
            raise FileTooLarge({"limit_bytes": self._limit})
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise BrokenForm(str(error)) from None
        return True

    def _begin_part(self) -> None:
        self._part = _Part()

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._part.header += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._part.value += data[start:end]

    def _end_header(self) -> None:
        if self._part.header.lower() == b"content-disposition":
            self._part.disposition = self._part.value
        self._part.header = self._part.value = b""

    def _name_part(self) -> None:
        _, options = parse_options_header(self._part.disposition)
        self._part.name = _text(options.get(b"name", b""))
        self._part.is_file = self._part.name == self._file_field
        if self._part.is_file:
            if self.filename is not None:
                raise BrokenForm(f"the field {self._file_field} is there twice")
            self.filename = _text(options.get(b"filename", b""))
        elif b"filename" in options:
            raise BrokenForm(f"the file must be in the field {self._file_field}")
        elif self._part.name in self.fields or len(self.fields) >= MAX_FIELDS:
            raise BrokenForm(f"a field is there twice, or there are more than {MAX_FIELDS}")

    def _take_content(self, data: bytes, start: int, end: int) -> None:
        if self._part.is_file:
            self._pieces.append(data[start:end])
        elif len(self._part.content) + end - start > MAX_FIELD_LENGTH:
            raise BrokenForm(f"a field may have {MAX_FIELD_LENGTH} bytes")
        else:
            self._part.content += data[start:end]

    def _end_part(self) -> None:
        if not self._part.is_file:
            self.fields[self._part.name] = _text(self._part.content)

    def _end(self) -> None:
        self._ended = True


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise BrokenForm("names and fields must be UTF-8") from None
