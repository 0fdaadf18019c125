"""Callbacks are believed only with a fresh signature over just their body."""

import time

from brightrun.contracts.signatures import SIGNATURE_HEADER, TIMESTAMP_HEADER, TOLERANCE_SECONDS, sign, valid

SECRET, BODY = "secret of the callbacks", b'{"status": "completed"}'


def _valid(headers: dict[str, str], body: bytes = BODY, secret: str = SECRET) -> bool:
    return valid(secret, body, headers[TIMESTAMP_HEADER], headers[SIGNATURE_HEADER])


def test_a_fresh_signature_holds() -> None:
    assert _valid(sign(SECRET, BODY))


def test_another_body_secret_or_time_does_not() -> None:
    headers = sign(SECRET, BODY)
    assert not _valid(headers, body=BODY + b" ")
    assert not _valid(headers, secret="another")
    assert not _valid(headers | {TIMESTAMP_HEADER: str(int(headers[TIMESTAMP_HEADER]) + 1)})
    assert not _valid(headers | {TIMESTAMP_HEADER: "soon"})
    assert not _valid(headers | {TIMESTAMP_HEADER: "9" * 5000})
    assert not _valid(headers | {SIGNATURE_HEADER: "é"})


def test_an_old_or_future_signature_does_not() -> None:
    now = int(time.time())
    assert not _valid(sign(SECRET, BODY, now - TOLERANCE_SECONDS - 5))
    assert not _valid(sign(SECRET, BODY, now + TOLERANCE_SECONDS + 5))
    assert _valid(sign(SECRET, BODY, now - TOLERANCE_SECONDS + 30))
