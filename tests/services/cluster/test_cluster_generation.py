"""Completions by the models of completed runs."""

import json
from typing import Any

import httpx
import psutil
import pytest

from brightrun.contracts.cluster_api import Capabilities
from tests.services.cluster.service import ClusterService
from tests.waiting import eventually


def request(**script: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": json.dumps(script)}]}


async def complete(service: ClusterService, run_id: str, **script: Any) -> httpx.Response:
    return await service.http.post(f"/training/generate/{run_id}", json=request(**script))


def kinds(response: httpx.Response) -> list[str]:
    return [json.loads(line)["kind"] for line in response.text.splitlines()]


async def completed_run(service: ClusterService) -> str:
    run_id = await service.submit()
    await service.reaches(run_id, "completed")
    return run_id


def generators(service: ClusterService, run_id: str) -> list[psutil.Process]:
    return [process for process in service.trainers(run_id) if "brightrun_trainer.generate" in process.cmdline()]


async def test_a_generator_answers_one_request_after_the_other(service: ClusterService) -> None:
    await service.start_process(generation_seconds=7)
    run_id = await completed_run(service)
    first, second = [await complete(service, run_id, say=["Wear", " first"]) for _ in range(2)]
    assert kinds(first) == ["loading", "token", "token", "token", "token", "done"]
    assert kinds(second) == ["token", "token", "token", "token", "done"]
    assert (service.folder(run_id) / "starts-of-generate").read_text() == "x"
    arguments = json.loads(second.text.splitlines()[2])["text"]
    assert "--base tiny" in arguments
    assert "--seconds 7.0" in arguments
    assert arguments.endswith("''")
    assert "BRIGHTRUN_CLUSTER_KEY" not in json.loads(second.text.splitlines()[3])["text"]


async def test_capabilities_include_generation_only_with_generators(service: ClusterService) -> None:
    await service.start(generators=0)
    capabilities = Capabilities.model_validate_json((await service.http.get("/training/capabilities")).content)
    assert not capabilities.generation
    run_id = await completed_run(service)
    response = await complete(service, run_id)
    assert (response.status_code, response.json()["code"]) == (501, "generation_unsupported")
    await service.stop()
    await service.start(generators=1)
    capabilities = Capabilities.model_validate_json((await service.http.get("/training/capabilities")).content)
    assert capabilities.generation


async def test_a_busy_generator_rejects_requests_and_an_idle_one_makes_room(service: ClusterService) -> None:
    await service.start()
    first, second = await completed_run(service), await completed_run(service)
    body = request(say=["a"], hold=True)
    async with service.http.stream("POST", f"/training/generate/{first}", json=body) as response:
        lines = response.aiter_lines()
        assert json.loads(await anext(lines))["kind"] == "loading"
        for run_id in (first, second):
            rejection = await complete(service, run_id)
            assert (rejection.status_code, rejection.json()["code"]) == (429, "generation_busy")
            assert rejection.headers["retry-after"]
        (service.folder(first) / "spoken").touch()
        assert json.loads([line async for line in lines][-1])["kind"] == "done"
    assert kinds(await complete(service, second))[-1] == "done"
    await eventually(lambda: _gone(service, first))


async def _gone(service: ClusterService, run_id: str) -> bool:
    return not generators(service, run_id)


async def test_generation_ends_when_its_client_disconnects(service: ClusterService) -> None:
    await service.start()
    run_id = await completed_run(service)
    body = request(say=["a"], hold=True)
    async with service.http.stream("POST", f"/training/generate/{run_id}", json=body) as response:
        await anext(response.aiter_lines())
        assert generators(service, run_id)
    await eventually(lambda: _gone(service, run_id))
    (service.folder(run_id) / "spoken").touch()
    assert kinds(await complete(service, run_id))[-1] == "done"


async def test_a_generator_that_dies_is_reported_and_replaced(service: ClusterService) -> None:
    await service.start()
    run_id = await completed_run(service)
    response = await complete(service, run_id, say=["a"], die=True)
    last = json.loads(response.text.splitlines()[-1])
    assert (last["kind"], last["error"]["code"]) == ("failed", "generator_lost")
    assert kinds(await complete(service, run_id))[-1] == "done"


async def test_a_generator_ends_with_the_service(service: ClusterService) -> None:
    await service.start_process()
    run_id = await completed_run(service)
    assert kinds(await complete(service, run_id))[-1] == "done"
    service.kill()
    await eventually(lambda: _gone(service, run_id))


@pytest.mark.parametrize("wrong", [{}, {"messages": []}, {**request(), "max_tokens": 9999}])
async def test_a_bad_request_starts_nothing(service: ClusterService, wrong: dict[str, Any]) -> None:
    await service.start()
    run_id = await completed_run(service)
    assert (await service.http.post(f"/training/generate/{run_id}", json=wrong)).status_code == 400
    assert not generators(service, run_id)


async def test_only_a_completed_run_with_files_generates(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit({"steps": 2, "hold_at": 1})
    response = await complete(service, run_id)
    assert (response.status_code, response.json()["code"]) == (409, "not_completed")
    service.release(run_id)
    await service.reaches(run_id, "completed")
    (service.folder(run_id) / "adapter" / "adapter_config.json").unlink()
    assert (await complete(service, run_id)).status_code == 410
    assert (await complete(service, "nonsense")).status_code == 404
