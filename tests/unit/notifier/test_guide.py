"""The code of docs/webhooks.md verifies what is really sent."""

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from brightrun.contracts.values import new_id, utc_now
from brightrun.contracts.webhooks import EVENT_TYPES
from brightrun.notifier.rules.deliveries import PAUSES
from brightrun.notifier.rules.webhook_events import headers_of, sample
from brightrun.notifier.secret_box import SecretBox

GUIDE = (Path(__file__).parents[3] / "docs/webhooks.md").read_text()
WITH_OPENAI, WITH_HMAC = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
SECRET_BOX = SecretBox("the-webhook-key-of-the-tests-is-long-enough")


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own guide
    return names


def signed(event_type: str, *secrets: str) -> tuple[dict[str, str], str]:
    message = sample(new_id(), event_type, utc_now())
    return headers_of(message.event_id, message.body, secrets, utc_now()), message.body


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_the_guides_receivers_take_every_event_and_no_forgery(
    event_type: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (old, _), (new, _), (other, _) = (SECRET_BOX.new_secret() for _ in range(3))
    is_genuine = run(WITH_HMAC)["is_genuine"]
    receiver = TestClient(run(WITH_OPENAI.replace("whsec_…", new))["app"])
    headers, body = signed(event_type, new, old)
    assert is_genuine(new, headers, body.encode())
    assert is_genuine(old, headers, body.encode())
    assert not is_genuine(other, headers, body.encode())
    assert not is_genuine(new, headers, body.encode() + b" ")
    assert not is_genuine(new, headers | {"webhook-timestamp": "1"}, body.encode())
    assert receiver.post("/brightrun", headers=headers, content=body).status_code == 200
    assert capsys.readouterr().out.startswith(f"{event_type} ")
    assert receiver.post("/brightrun", headers=headers, content=body + " ").status_code == 400


def test_the_guide_names_every_event_and_the_schedule() -> None:
    assert set(re.findall(r"^\| `([a-z_.]+)` \|", GUIDE, re.MULTILINE)) == set(EVENT_TYPES)
    sentence = re.search(r"at once, then (.+?) and (\S+ \S+) after the failure", GUIDE)
    assert sentence
    units = {"s": 1, "min": 60, "h": 3600}
    pauses = [part.split() for part in [*sentence[1].split(", "), sentence[2]]]
    assert [int(number) * units[unit] for number, unit in pauses] == [pause.total_seconds() for pause in PAUSES]
