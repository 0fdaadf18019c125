"""Errors in OpenAI's shape."""

from dataclasses import dataclass
from typing import Any

LONGEST = 2000
CODES = {"unauthorized": "invalid_api_key", "rate_limited": "rate_limit_exceeded"}
"""Codes that clients of OpenAI know under another name."""
PARAMS = {"file_not_found": "file", "dataset_not_found": "training_file", "dataset_not_ready": "training_file"}
"""What is wrong where the error itself names no field."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The inside of `{"error": …}`. `param` is the first wrong field; `message` names all of them."""

    message: str
    type: str
    param: str | None
    code: str


def refuse(status: int, code: str, message: str, details: Any = None) -> Refusal:
    """An error of ours; `details` that tell field → what is wrong with it become part of the message."""
    fields = _fields(details)
    sentence = message.rstrip(".") + (f": {_told(details)}" if _told(details) else ".")
    return Refusal(
        message=sentence[:LONGEST],
        type=_type(status),
        param=fields[0] if fields else PARAMS.get(code),
        code=CODES.get(code, code),
    )


def _type(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def _fields(details: Any) -> list[str]:
    """The wrong fields, where that is what `details` tell."""
    if isinstance(details, dict) and all(isinstance(problems, list) for problems in details.values()):
        return [name for name in details if details[name] and isinstance(details[name][0], str)]
    return []


def _told(details: Any) -> str:
    if details is None or isinstance(details, str):
        return details or ""
    if isinstance(details, dict):
        return "; ".join(f"{name}: {_told(value)}" for name, value in details.items())
    if isinstance(details, list):
        return ", ".join(_told(value) for value in details)
    return str(details)
