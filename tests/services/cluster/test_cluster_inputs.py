"""What a run downloads before it trains."""

import hashlib
import json

import pytest

from brightrun.contracts.cluster_api import AdapterInput, RunInput
from tests.services.cluster.service import ClusterService
from tests.waiting import eventually


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def test_a_dataset_that_cannot_be_fetched_fails_the_run_without_showing_its_url(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit(dataset_url=f"{service.platform.url}/nothing?signature=a-secret-signature")
    status = await service.reaches(run_id, "failed")
    assert status.error
    assert (status.error.code, status.error.retryable) == ("dataset_unreachable", True)
    assert status.started_at is None
    assert "secret" not in status.model_dump_json()


async def test_a_run_finds_its_inputs_in_its_folder(service: ClusterService) -> None:
    await service.start()
    contents = {"adapter_config.json": b'{"r": 8}', "adapter_model.safetensors": b"weights"}
    urls = {name: service.platform.add_dataset(content) for name, content in contents.items()}
    run_id = await service.submit(
        {"steps": 1},
        validation=RunInput(url=service.platform.add_dataset(b"held out"), sha256=digest_of(b"held out")),
        adapter=[
            AdapterInput(name=name, url=urls[name], sha256=digest_of(content)) for name, content in contents.items()
        ],
    )
    await service.reaches(run_id, "completed")
    folder = service.folder(run_id)
    assert (folder / "validation.jsonl").read_bytes() == b"held out"
    assert {path.name: path.read_bytes() for path in (folder / "init_adapter").iterdir()} == contents


@pytest.mark.parametrize(
    ("inputs", "code", "message"),
    [
        ({"dataset_sha256": "ab" * 32}, "dataset_unreachable", "The data set"),
        ({"validation": ("url", "ab" * 32)}, "dataset_unreachable", "The validation data set"),
        ({"adapter": ("url", "ab" * 32)}, "adapter_unreachable", "The adapter to start from"),
        ({"adapter": ("nowhere", None)}, "adapter_unreachable", "HTTP 404"),
    ],
)
async def test_a_run_with_wrong_or_missing_inputs_never_trains(
    service: ClusterService, inputs: dict, code: str, message: str
) -> None:
    await service.start()
    urls = {
        "url": service.platform.add_dataset(b"other bytes"),
        "nowhere": f"{service.platform.url}/nothing?signature=secret",
    }
    for name in inputs.keys() & {"validation", "adapter"}:
        url, sha256 = inputs[name]
        file = {"url": urls[url], "sha256": sha256}
        inputs = {name: [file | {"name": "adapter_config.json"}] if name == "adapter" else file}
    run_id = await service.submit({"steps": 1}, **inputs)
    status = await service.reaches(run_id, "failed")
    assert status.error
    assert (status.error.code, status.error.retryable) == (code, True)
    assert message in status.error.message
    assert "secret" not in status.model_dump_json()
    assert not (service.folder(run_id) / "starts").exists()


@pytest.mark.parametrize("name", ["../spec.json", "a/b", ".hidden", "", "x" * 201, "a\x00b"])
async def test_an_adapters_files_have_plain_names(service: ClusterService, name: str) -> None:
    await service.start()
    body = json.loads(service.request().model_dump_json()) | {"adapter": [{"name": name, "url": "http://a"}]}
    assert (await service.http.post("/training/submit", json=body)).status_code == 400


async def test_cancelling_while_the_dataset_is_fetched_stops_at_once(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit(dataset_url=service.platform.add_dataset(None))
    await service.cancel(run_id)
    status = await service.reaches(run_id, "cancelled", within=5)
    assert status.started_at is None


async def test_cancelling_while_the_adapter_is_fetched_stops_at_once(service: ClusterService) -> None:
    await service.start()
    hanging = AdapterInput(name="adapter_config.json", url=service.platform.add_dataset(None))
    run_id = await service.submit(adapter=[hanging])

    async def has_its_data() -> bool:
        return (service.folder(run_id) / "data.jsonl").exists()

    await eventually(has_its_data)
    await service.cancel(run_id)
    status = await service.reaches(run_id, "cancelled", within=5)
    assert status.started_at is None
