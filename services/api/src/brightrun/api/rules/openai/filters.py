"""What OpenAI's lists are filtered by."""

import re
from collections.abc import Iterable

from brightrun.api.errors import Invalid

_KEY = re.compile(r"metadata\[(.{1,64})\]", re.DOTALL)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def read_metadata(query: Iterable[tuple[str, str]]) -> dict[str, str] | None:
    """The metadata that `metadata[k]=v` asks for; `{}` where `metadata=null` asks for jobs without; None for all."""
    wanted: dict[str, str] = {}
    null = False
    for name, value in query:
        if key := _KEY.fullmatch(name):
            wanted[key[1]] = value
        elif name == "metadata" and value == "null":
            null = True
        elif name.startswith("metadata"):
            raise Invalid({"metadata": ["filter by metadata[key]=value, or metadata=null"]})
    if wanted and null:
        raise Invalid({"metadata": ["give metadata[key]=value or metadata=null, not both"]})
    if _UNSTORABLE.search("".join([*wanted, *wanted.values()])):
        raise Invalid({"metadata": ["text must not contain NUL or lone surrogates"]})
    return wanted if wanted or null else None
