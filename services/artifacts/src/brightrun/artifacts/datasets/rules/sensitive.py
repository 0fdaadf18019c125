"""Likely secrets and e-mail addresses in a block of lines, shown masked.

Each search looks for a few bytes, which is fast, and for the whole only around them.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple


class Finding(NamedTuple):
    """Where something begins in the block, its code and its masked text."""

    position: int
    code: str
    masked: str


_SECRETS = {
    b"sk-": rb"[\w-]{20,}",
    b"AKIA": rb"[0-9A-Z]{16}\b",
    b"AIza": rb"[\w-]{35}",
    b"ghp_": rb"\w{36}",
    b"github_pat_": rb"\w{22,}",
    b"glpat-": rb"[\w-]{20,}",
    b"hf_": rb"\w{30,}",
    b"xoxb-": rb"[\w-]{20,}",
    b"br_": rb"[\w-]{30,}",
    b"-----BEGIN ": rb"(?:[A-Z]+ )*PRIVATE KEY-----",
}
"""How secrets of well-known services begin, and go on."""
_PATTERNS = {prefix: re.compile(rb"(?<![\w-])" + prefix + rest) for prefix, rest in _SECRETS.items()}
_LOCAL = re.compile(rb"[A-Za-z0-9._%+-]{1,64}\Z")
_DOMAIN = re.compile(rb"(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}\b")
SHOWN = 4
"""Bytes of a secret that are shown."""


def find_sensitive(block: bytes) -> Iterator[Finding]:
    """Everything that is likely a secret or an e-mail address."""
    for prefix, pattern in _PATTERNS.items():
        if prefix[-1:] not in block:
            continue
        for position in _positions(block, prefix):
            if match := pattern.match(block, position):
                shown = match.group()[: max(SHOWN, len(prefix))].decode(errors="replace")
                yield Finding(position, "possible_secret", f"{shown}… ({len(match.group())} characters)")
    for position in _positions(block, b"@"):
        local = _LOCAL.search(block, max(position - 64, 0), position)
        domain = _DOMAIN.match(block, position + 1, position + 256)
        if local and domain:
            masked = f"{local.group()[:1].decode()}…@{domain.group().decode()}"
            yield Finding(local.start(), "email_address", masked)


def _positions(block: bytes, text: bytes) -> Iterator[int]:
    position = block.find(text)
    while position >= 0:
        yield position
        position = block.find(text, position + len(text))
