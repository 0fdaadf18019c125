"""Multipart forms, however the network cuts them."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.api.errors import BrokenForm, FileTooLarge
from brightrun.api.openai.forms import Form

KIND = "multipart/form-data; boundary=xx"


def form(body: bytes, size: int, limit: int = 1000) -> Form:
    """The form of a body that comes in pieces of `size`."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    return Form(KIND, pieces(), "file", limit)


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    file = f'; filename="{filename}"' if filename is not None else ""
    return f'--xx\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"


async def read(parsed: Form) -> bytes:
    assert await parsed.find_file()
    return b"".join([piece async for piece in parsed.read_file()])


@given(
    content=st.binary(max_size=200) | st.sampled_from([b"--xx", b"\r\n--x", b"\r\n\r\n", b"\r\n--x-\r\n--xx"[:8]]),
    size=st.integers(1, 300),
    first=st.booleans(),
)
def test_a_file_is_read_as_it_was_sent(content: bytes, size: int, first: bool) -> None:
    if b"\r\n--xx" in b"\r\n" + content:
        return
    parts = [part("file", content, "a.jsonl"), part("purpose", b"fine-tune")]
    parsed = form(b"".join(parts if first else parts[::-1]) + b"--xx--\r\n", size)
    assert asyncio.run(read(parsed)) == content
    assert (parsed.fields, parsed.filename) == ({"purpose": "fine-tune"}, "a.jsonl")


@given(cut=st.integers(0, 160), size=st.integers(1, 50))
def test_a_form_that_ends_early_is_broken(cut: int, size: int) -> None:
    whole = part("purpose", b"fine-tune") + part("file", b"x" * 40, "a.jsonl") + b"--xx--"
    parsed = form(whole[: min(cut, len(whole) - 1)], size)

    async def run() -> None:
        if await parsed.find_file():
            async for _ in parsed.read_file():
                pass

    with pytest.raises(BrokenForm):
        asyncio.run(run())


def test_a_file_may_have_its_limit_and_no_more() -> None:
    assert len(asyncio.run(read(form(part("file", b"x" * 1000, "a") + b"--xx--", 7)))) == 1000
    for size in (7, 5000):
        with pytest.raises(FileTooLarge):
            asyncio.run(read(form(part("file", b"x" * 1001, "a") + b"--xx--", size)))


def test_what_comes_beside_the_file_is_bounded() -> None:
    endless = form(part("file", b"x", "a") + b"--xx--" + b"\r\n" * 1_000_000, 65_536)
    with pytest.raises(FileTooLarge):
        asyncio.run(read(endless))
