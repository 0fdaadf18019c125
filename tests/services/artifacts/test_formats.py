"""Data sets of every format and container, from the upload to the file that trainers read."""

import asyncio
import csv
import gzip
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from minio import Minio

from brightrun.artifacts.datasets import queries
from brightrun.contracts.events import DatasetValidated
from brightrun.contracts.values import new_id
from brightrun.datasets.examples import ExampleReader
from brightrun.datasets.models import DPO, OPENAI_CHAT
from tests.services.artifacts.conftest import Artifacts, Ask
from tests.services.artifacts.test_datasets import LINE, left_over, upload
from tests.unit.datasets.test_containers import parquet

CASES = Path(__file__).parents[2] / "cases"
ALPACA = {"instruction": "Say it", "input": "in one word", "output": "Ahoy"}
CHAT = {"messages": [{"role": "user", "content": "Say it\n\nin one word"}, {"role": "assistant", "content": "Ahoy"}]}
PAIR = {"prompt": "Hi", "chosen": "Ahoy", "rejected": "No"}


def lines(row: Any, count: int = 12) -> bytes:
    return "".join(json.dumps(row) + "\n" for _ in range(count)).encode()


def table(row: dict[str, str]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(row))
    writer.writeheader()
    writer.writerows([row] * 12)
    return file.getvalue().encode()


async def validated(artifacts: Artifacts, ask: Ask, user: Any, content: bytes, **params: str) -> dict[str, Any]:
    answer = await upload(ask, user, content, **params)
    assert answer.status_code == 201, answer.text
    while await artifacts.validate():
        pass
    dataset: dict[str, Any] = (await ask(user).get(f"/datasets/{answer.json()['data']['id']}")).json()["data"]
    return dataset


async def training_data(ask: Ask, user: Any, dataset: dict[str, Any]) -> list[dict[str, Any]]:
    """What a trainer reads from the URL that its cluster is given, after the cluster's check of the digest."""
    url = (await ask(user).get(f"/datasets/{dataset['id']}/url")).json()["data"]["url"]
    async with httpx.AsyncClient(timeout=60) as cluster:
        content = (await cluster.get(url)).content
    assert hashlib.sha256(content).hexdigest() == dataset["training_sha256"]
    reader = ExampleReader(DPO if dataset["format"] == DPO else OPENAI_CHAT)
    return [reader.read(line) for line in content.splitlines() if line.strip()]


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content} | more


CALL = {"id": "call_1", "type": "function", "function": {"name": "stock", "arguments": '{"part": 0}'}}
FIRST_MESSAGES = {
    "blank-lines": [turn("user", "How do I true wheel 0?"), turn("assistant", "Turn spoke 0 a quarter.")],
    "text-parts": [
        turn("system", "You help in a bicycle shop."),
        turn("user", "How do I true wheel 0?"),
        turn("assistant", "Turn spoke 0 a quarter."),
    ],
    "legacy-function-call": [
        turn("user", "Stock of part 0?"),
        turn("assistant", "", tool_calls=[CALL]),
        turn("tool", "0", name="stock", tool_call_id="call_1"),
        turn("assistant", "0 left."),
    ],
    "null-fields-of-sdk-dump": [turn("user", "How do I true wheel 0?"), turn("assistant", "Turn spoke 0.")],
}


WARNINGS = {"blank-lines": {"blank_lines": 1}}


@pytest.mark.parametrize("case", FIRST_MESSAGES)
async def test_what_the_schema_of_openai_allows_is_ready_and_read_by_trainers(
    artifacts: Artifacts, ask: Ask, case: str
):
    user, content = new_id(), (CASES / f"{case}.jsonl").read_bytes()
    dataset = await validated(artifacts, ask, user, content)
    assert (dataset["status"], dataset["total_training_pairs"], dataset["errors_by_code"]) == ("ready", 12, {})
    assert dataset["warnings_by_code"] == WARNINGS.get(case, {})
    assert dataset["training_sha256"] == dataset["sha256"], "no second file is written for what trainers read"
    examples = await training_data(ask, user, dataset)
    assert len(examples) == 12
    assert examples[0]["messages"] == FIRST_MESSAGES[case]


QUESTION = CHAT["messages"][0]["content"]
FILES: dict[str, tuple[bytes, dict[str, str], str]] = {
    "lines": (lines(ALPACA), {}, "alpaca"),
    "named format": (lines(ALPACA), {"format": "alpaca"}, "alpaca"),
    "array": (json.dumps([ALPACA] * 12, indent=1).encode(), {}, "alpaca"),
    "table": (table(ALPACA), {}, "alpaca"),
    "Parquet": (parquet([ALPACA] * 12), {}, "alpaca"),
    "compressed table": (gzip.compress(table(ALPACA)), {}, "alpaca"),
    "compressed chat": (gzip.compress(lines(CHAT)), {}, "openai_chat"),
    "columns": (
        lines({"question": QUESTION, "answer": "Ahoy"}),
        {"columns": '{"prompt": "question", "completion": "answer"}'},
        "prompt_completion",
    ),
    "ShareGPT": (
        lines({"conversations": [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": "Ahoy"}]}),
        {},
        "sharegpt",
    ),
    "compressed pairs": (gzip.compress(lines(PAIR)), {}, "dpo"),
}


@pytest.mark.parametrize("name", FILES)
async def test_other_formats_and_containers_become_what_trainers_read(artifacts: Artifacts, ask: Ask, name: str):
    user, (content, params, file_format) = new_id(), FILES[name]
    dataset = await validated(artifacts, ask, user, content, **params)
    assert (dataset["status"], dataset["format"], dataset["total_training_pairs"]) == ("ready", file_format, 12)
    assert dataset["sha256"] == hashlib.sha256(content).hexdigest()
    pair = {
        "input": {"messages": [turn("user", "Hi")]},
        "preferred_output": [turn("assistant", "Ahoy")],
        "non_preferred_output": [turn("assistant", "No")],
    }
    assert await training_data(ask, user, dataset) == [pair if file_format == DPO else CHAT] * 12
    (published,) = await artifacts.events("dataset.validated")
    assert DatasetValidated.model_validate_json(published).sha256 == dataset["training_sha256"] != dataset["sha256"]


async def test_converted_examples_go_with_their_data_set(artifacts: Artifacts, ask: Ask, s3: Minio):
    user = new_id()
    dataset = await validated(artifacts, ask, user, lines(ALPACA))
    assert len(left_over(s3, user)) == 2
    await artifacts.delete_objects()
    assert len(left_over(s3, user)) == 2, "recorded objects stay"
    await ask(user).delete(f"/datasets/{dataset['id']}")
    await artifacts.delete_objects()
    assert left_over(s3, user) == []


async def test_a_validator_that_dies_while_it_converts_leaves_no_object_for_good(
    artifacts: Artifacts, ask: Ask, s3: Minio, monkeypatch: pytest.MonkeyPatch
):
    user = new_id()

    async def die(*_: object) -> None:
        raise ConnectionError("the database is away")

    with monkeypatch.context() as broken:
        broken.setattr("brightrun.artifacts.datasets.actions.finish_validation", die)
        await upload(ask, user, lines(ALPACA))
        with pytest.raises(ConnectionError):
            await artifacts.validate()
    assert len(left_over(s3, user)) == 2
    await artifacts.pool.execute("UPDATE datasets SET leased_until = now()")
    assert await artifacts.validate()
    assert len(left_over(s3, user)) == 3
    await artifacts.pool.execute("UPDATE discards SET due_at = now()")
    await artifacts.delete_objects()
    (dataset,) = (await ask(user).get("/datasets")).json()["data"]["datasets"]
    assert await training_data(ask, user, dataset) == [CHAT] * 12
    assert len(left_over(s3, user)) == 2


async def test_an_invalid_file_of_another_format_names_its_own_keys_and_is_not_converted(
    artifacts: Artifacts, ask: Ask, s3: Minio
):
    user = new_id()
    content = table(ALPACA) + b"Say it,,\n"
    dataset = await validated(artifacts, ask, user, content)
    assert (dataset["status"], dataset["training_sha256"]) == ("invalid", None)
    (error,) = (await ask(user).get(f"/datasets/{dataset['id']}/errors")).json()["data"]["errors"]
    assert (error["line"], error["path"], error["code"]) == (14, "$.output", "missing_key")
    assert left_over(s3, user) == [f"{user}/{dataset['id']}/data.jsonl"]


async def test_invalid_examples_are_left_out_in_one_call(artifacts: Artifacts, ask: Ask):
    user = new_id()
    dataset = await validated(artifacts, ask, user, b"broken\n" + lines(CHAT))
    path = f"/datasets/{dataset['id']}"
    assert (dataset["status"], dataset["error_count"]) == ("invalid", 1)
    again = (await ask(user).post(f"{path}/drop-invalid")).json()["data"]
    assert (again["status"], again["drop_invalid"]) == ("uploaded", True)
    twice = await ask(user).post(f"{path}/drop-invalid")
    assert (twice.status_code, twice.json()["code"]) == (409, "dataset_not_invalid")
    assert (await ask(new_id()).post(f"{path}/drop-invalid")).status_code == 404
    assert await artifacts.validate()
    dataset = (await ask(user).get(path)).json()["data"]
    assert (dataset["status"], dataset["total_training_pairs"], dataset["error_count"]) == ("ready", 12, 1)
    assert await training_data(ask, user, dataset) == [CHAT] * 12
    (error,) = (await ask(user).get(f"{path}/errors")).json()["data"]["errors"]
    assert (error["line"], error["code"]) == (1, "invalid_json")
    events = [DatasetValidated.model_validate_json(event) for event in await artifacts.events("dataset.validated")]
    assert [event.status for event in events] == ["invalid", "ready"]


async def test_many_reports_and_previews_at_once_do_not_wait_for_each_other(artifacts: Artifacts, ask: Ask):
    user = new_id()
    dataset = await validated(artifacts, ask, user, b"broken\n" + lines(CHAT, 10))
    client = ask(user)
    requests = (client.get(f"/datasets/{dataset['id']}/{path}") for path in ("report", "preview") * 20)
    assert {answer.status_code for answer in await asyncio.gather(*requests)} == {200}


async def test_a_preview_shows_what_is_trained(artifacts: Artifacts, ask: Ask):
    user = new_id()
    content = b"broken\n\n" + lines(ALPACA, 10) + json.dumps(ALPACA | {"output": "Grüße " * 50}).encode()
    waiting = (await upload(ask, user, content)).json()["data"]
    early = await ask(user).get(f"/datasets/{waiting['id']}/preview")
    assert (early.status_code, early.json()["code"]) == (409, "dataset_not_validated")
    await artifacts.validate()
    path = f"/datasets/{waiting['id']}/preview"

    async def shown(**params: Any) -> dict[str, Any]:
        answer = await ask(user).get(path, params=params)
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    first = await shown(limit=2)
    broken, example = first["examples"]
    assert (first["next_offset"], first["complete"]) == (2, False)
    assert (broken["line"], broken["raw"], broken["errors"][0]["code"]) == (1, "broken", "invalid_json")
    assert (example["line"], json.loads(example["raw"])) == (3, ALPACA)
    assert [(message["role"], message["trained"], message["cut"]) for message in example["messages"]] == [
        ("user", False, False),
        ("assistant", True, False),
    ]
    rest = await shown(offset=2, limit=50)
    assert ([example["line"] for example in rest["examples"]], rest["next_offset"]) == ([*range(4, 14)], None)
    assert rest["complete"]
    (found,) = (await shown(text="Grüße", max_length=32))["examples"]
    assert (found["line"], [message["cut"] for message in found["messages"]]) == (13, [False, True])
    assert (await ask(new_id()).get(path)).status_code == 404
    assert (await ask(user).get(path, params={"limit": 51})).status_code == 400


async def test_a_preview_of_a_pair_shows_both_answers(artifacts: Artifacts, ask: Ask):
    user = new_id()
    dataset = await validated(artifacts, ask, user, lines(PAIR))
    answer = await ask(user).get(f"/datasets/{dataset['id']}/preview", params={"limit": 1})
    (pair,) = answer.json()["data"]["examples"]
    assert [(message["content"], message["trained"]) for message in pair["messages"]] == [("Hi", False), ("Ahoy", True)]
    assert (pair["rejected"]["content"], pair["rejected"]["trained"]) == ("No", True)


async def test_the_report_is_downloaded_with_the_lines(artifacts: Artifacts, ask: Ask):
    user = new_id()
    dataset = await validated(artifacts, ask, user, b"broken\n" + lines(CHAT, 10))
    path = f"/datasets/{dataset['id']}/report"
    rows = [json.loads(row) for row in (await ask(user).get(path)).text.splitlines()]
    assert [(row["line"], row["code"]) for row in rows[:2]] == [(1, "invalid_json"), (3, "duplicate_example")]
    assert (rows[0]["text"], json.loads(rows[1]["text"])) == ("broken", CHAT)
    table = list(csv.DictReader(io.StringIO((await ask(user).get(path, params={"format": "csv"})).text)))
    assert [row["text"] for row in table] == [row["text"] for row in rows]
    assert (await ask(user).get(path, params={"format": "xlsx"})).status_code == 400
    assert (await ask(new_id()).get(path)).status_code == 404


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"columns": "question"}, "invalid_columns"),
        ({"columns": '["question"]'}, "invalid_columns"),
        ({"columns": '{"prompt": 7}'}, "invalid_columns"),
        ({"columns": '{"prompt": ""}'}, "invalid_columns"),
        ({"columns": '{"question": "prompt"}'}, "invalid_columns"),
        ({"columns": '{"prompt": "question"}', "format": "alpaca"}, "invalid_columns"),
        ({"format": ""}, "unsupported_format"),
    ],
)
async def test_wrong_columns_are_refused_before_the_upload(
    artifacts: Artifacts, ask: Ask, params: dict[str, str], code: str
):
    answer = await upload(ask, new_id(), LINE, **params)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert await artifacts.pool.fetchval("SELECT count(*) FROM discards") == 0


async def test_progress_is_visible_and_a_deletion_cancels_the_validation(
    artifacts: Artifacts, ask: Ask, monkeypatch: pytest.MonkeyPatch
):
    user = new_id()
    dataset = await validated(artifacts, ask, user, lines(CHAT))
    assert dataset["validated_bytes"] == dataset["size_bytes"]
    monkeypatch.setattr("brightrun.artifacts.datasets.loops.PROGRESS_SECONDS", 0)
    second = (await upload(ask, user, lines(CHAT, 40_000))).json()["data"]
    seen: list[int] = []

    async def delete_midway(*args: Any) -> bool:
        saved: bool = await original(*args)
        seen.append(await artifacts.pool.fetchval("SELECT validated_bytes FROM datasets WHERE id = $1", second["id"]))
        if seen[-1]:
            assert 0 < seen[-1] < second["size_bytes"]
            await ask(user).delete(f"/datasets/{second['id']}")
        return saved

    original = queries.save_progress
    monkeypatch.setattr(queries, "save_progress", delete_midway)
    assert await artifacts.validate()
    assert any(seen)
    assert len(await artifacts.events("dataset.validated")) == 1
