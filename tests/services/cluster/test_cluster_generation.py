"""Models of completed runs are tried."""

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


def kinds(answer: httpx.Response) -> list[str]:
    return [json.loads(line)["kind"] for line in answer.text.splitlines()]


async def completed_run(service: ClusterService) -> str:
    run_id = await service.submit()
    await service.reaches(run_id, "completed")
    return run_id


def generators(service: ClusterService, run_id: str) -> list[psutil.Process]:
    return [process for process in service.trainers(run_id) if "brightrun_trainer.generate" in process.cmdline()]


async def test_a_process_answers_one_request_after_the_other(service: ClusterService) -> None:
    await service.start_process(generation_seconds=7)
    run_id = await completed_run(service)
    first, second = [await complete(service, run_id, say=["Wear", " first"]) for _ in range(2)]
    assert kinds(first) == ["loading", "token", "token", "token", "token", "done"]
    assert kinds(second) == ["token", "token", "token", "token", "done"]
    assert (service.folder(run_id) / "starts-of-generate").read_text() == "x"
    told = json.loads(second.text.splitlines()[2])["text"]
    assert "--base tiny" in told
    assert "--seconds 7.0" in told
    assert told.endswith("''")
    assert "BRIGHTRUN_CLUSTER_KEY" not in json.loads(second.text.splitlines()[3])["text"]


async def test_a_cluster_says_whether_it_can(service: ClusterService) -> None:
    await service.start(generators=0)
    capabilities = Capabilities.model_validate_json((await service.http.get("/training/capabilities")).content)
    assert not capabilities.generation
    run_id = await completed_run(service)
    answer = await complete(service, run_id)
    assert (answer.status_code, answer.json()["code"]) == (501, "generation_unsupported")
    await service.stop()
    await service.start(generators=1)
    capabilities = Capabilities.model_validate_json((await service.http.get("/training/capabilities")).content)
    assert capabilities.generation


async def test_a_busy_one_is_not_asked_and_an_idle_one_makes_room(service: ClusterService) -> None:
    await service.start()
    first, second = await completed_run(service), await completed_run(service)
    body = request(say=["a"], hold=True)
    async with service.http.stream("POST", f"/training/generate/{first}", json=body) as answer:
        lines = answer.aiter_lines()
        assert json.loads(await anext(lines))["kind"] == "loading"
        for run_id in (first, second):
            refused = await complete(service, run_id)
            assert (refused.status_code, refused.json()["code"]) == (429, "generation_busy")
            assert refused.headers["retry-after"]
        (service.folder(first) / "spoken").touch()
        assert json.loads([line async for line in lines][-1])["kind"] == "done"
    assert kinds(await complete(service, second))[-1] == "done"
    await eventually(lambda: _gone(service, first))


async def _gone(service: ClusterService, run_id: str) -> bool:
    return not generators(service, run_id)


async def test_nobody_is_answered_who_has_left(service: ClusterService) -> None:
    await service.start()
    run_id = await completed_run(service)
    body = request(say=["a"], hold=True)
    async with service.http.stream("POST", f"/training/generate/{run_id}", json=body) as answer:
        await anext(answer.aiter_lines())
        assert generators(service, run_id)
    await eventually(lambda: _gone(service, run_id))
    (service.folder(run_id) / "spoken").touch()
    assert kinds(await complete(service, run_id))[-1] == "done"


async def test_a_process_that_dies_is_told_of_and_replaced(service: ClusterService) -> None:
    await service.start()
    run_id = await completed_run(service)
    answer = await complete(service, run_id, say=["a"], die=True)
    last = json.loads(answer.text.splitlines()[-1])
    assert (last["kind"], last["error"]["code"]) == ("failed", "generator_lost")
    assert kinds(await complete(service, run_id))[-1] == "done"


async def test_the_process_ends_with_the_service(service: ClusterService) -> None:
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


async def test_only_a_completed_run_with_files_is_tried(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit({"steps": 2, "hold_at": 1})
    answer = await complete(service, run_id)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_completed")
    service.release(run_id)
    await service.reaches(run_id, "completed")
    (service.folder(run_id) / "adapter" / "adapter_config.json").unlink()
    assert (await complete(service, run_id)).status_code == 410
    assert (await complete(service, "nonsense")).status_code == 404
