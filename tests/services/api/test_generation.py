"""Models are tried beside their base model, as server-sent events."""

import json
from typing import Any

import pytest

from brightrun.contracts.errors import GenerationBusy, GenerationUnsupported, ModelNotStored
from brightrun.runtime.errors import ServiceError
from tests.services.api.conftest import User
from tests.services.api.fakes import FakeArtifacts

ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "My chain slips."}]}
TOKEN = '{"kind":"token","side":"base","text":"Täglich\\n"}\n'.encode()
DONE = b'{"kind":"done","prompt_tokens":3,"seconds":0.1}\n'


def events(text: str) -> list[tuple[str, Any]]:
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((fields["event"], json.loads(fields["data"])))
    return found


async def test_each_piece_is_an_event(ada: User, artifacts: FakeArtifacts):
    model_id = artifacts.hold_model(ada.id)
    artifacts.said = [b'{"kind":"loading"}\n' + TOKEN[:20], TOKEN[20:], DONE]

    answer = await ada.post(f"/api/models/{model_id}/generate", json=ASKED | {"temperature": 0.5})

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert events(answer.text) == [
        ("loading", {}),
        ("token", {"side": "base", "text": "Täglich\n"}),
        ("done", {"prompt_tokens": 3, "seconds": 0.1}),
    ]
    assert (artifacts.heard[0]["temperature"], artifacts.heard[0]["max_tokens"]) == (0.5, 200)


@pytest.mark.parametrize("said", [[], [TOKEN], [TOKEN, b'{"kind":"to']])
async def test_an_incomplete_response_ends_with_an_error(ada: User, artifacts: FakeArtifacts, said: list[bytes]):
    model_id = artifacts.hold_model(ada.id)
    artifacts.said = said

    answer = await ada.post(f"/api/models/{model_id}/generate", json=ASKED)

    name, data = events(answer.text)[-1]
    assert (name, data["error"]["code"]) == ("failed", "generation_broken")


@pytest.mark.parametrize("refusal", [GenerationBusy(), GenerationUnsupported(), ModelNotStored({"status": "pending"})])
async def test_a_refusal_comes_before_any_event(ada: User, artifacts: FakeArtifacts, refusal: ServiceError):
    model_id = artifacts.hold_model(ada.id)
    artifacts.refuses_generation = refusal

    answer = await ada.post(f"/api/models/{model_id}/generate", json=ASKED)

    assert (answer.status_code, answer.json()["code"]) == (refusal.status, refusal.code)


async def test_only_the_users_own_model_can_be_tried(ada: User, eve: User, artifacts: FakeArtifacts):
    model_id = artifacts.hold_model(ada.id)

    assert (await eve.post(f"/api/models/{model_id}/generate", json=ASKED)).status_code == 404
    assert artifacts.heard == []


async def test_every_wrong_field_is_named(ada: User, artifacts: FakeArtifacts):
    model_id = artifacts.hold_model(ada.id)
    said = [{"role": "user", "content": "Hi"}, {"role": "tool", "content": ""}]
    wrong = {"messages": said, "max_tokens": 513, "temperature": 3, "top_p": 0, "x": 1}

    answer = await ada.post(f"/api/models/{model_id}/generate", json=wrong)

    assert answer.status_code == 400
    assert answer.json()["details"].keys() == {
        "messages.1.role",
        "messages.1.content",
        "max_tokens",
        "temperature",
        "top_p",
        "x",
    }
