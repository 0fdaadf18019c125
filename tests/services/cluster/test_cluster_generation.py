"""Models of completed runs are tried."""

import json
from typing import Any

import httpx
import psutil
import pytest

from brightrun.contracts.cluster_api import Capabilities
from tests.services.cluster.world import World
from tests.waiting import eventually


def request(**orders: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": json.dumps(orders)}]}


async def speak(world: World, run_id: str, **orders: Any) -> httpx.Response:
    return await world.http.post(f"/training/generate/{run_id}", json=request(**orders))


def kinds(answer: httpx.Response) -> list[str]:
    return [json.loads(line)["kind"] for line in answer.text.splitlines()]


async def completed(world: World) -> str:
    run_id = await world.submit()
    await world.reaches(run_id, "completed")
    return run_id


def speakers(world: World, run_id: str) -> list[psutil.Process]:
    return [one for one in world.trainers(run_id) if "brightrun_trainer.generate" in one.cmdline()]


async def test_a_process_answers_one_request_after_the_other(world: World) -> None:
    await world.start(BRIGHTRUN_GENERATION_SECONDS=7)
    run_id = await completed(world)
    first, second = [await speak(world, run_id, say=["Wear", " first"]) for _ in range(2)]
    assert kinds(first) == ["loading", "token", "token", "token", "token", "done"]
    assert kinds(second) == ["token", "token", "token", "token", "done"]
    assert (world.folder(run_id) / "speakers").read_text() == "x"
    told = json.loads(second.text.splitlines()[2])["text"]
    assert "--base tiny" in told
    assert "--seconds 7.0" in told
    assert told.endswith("''")
    assert "BRIGHTRUN_CLUSTER_KEY" not in json.loads(second.text.splitlines()[3])["text"]


async def test_a_cluster_says_whether_it_can(world: World) -> None:
    await world.start(BRIGHTRUN_GENERATORS=0)
    capabilities = Capabilities.model_validate_json((await world.http.get("/training/capabilities")).content)
    assert not capabilities.generation
    run_id = await completed(world)
    answer = await speak(world, run_id)
    assert (answer.status_code, answer.json()["code"]) == (501, "generation_unsupported")
    world.stop()
    await world.start(BRIGHTRUN_GENERATORS=1)
    capabilities = Capabilities.model_validate_json((await world.http.get("/training/capabilities")).content)
    assert capabilities.generation


async def test_a_busy_one_is_not_asked_and_an_idle_one_makes_room(world: World) -> None:
    await world.start()
    first, second = await completed(world), await completed(world)
    body = request(say=["a"], hold=True)
    async with world.http.stream("POST", f"/training/generate/{first}", json=body) as answer:
        lines = answer.aiter_lines()
        assert json.loads(await anext(lines))["kind"] == "loading"
        for run_id in (first, second):
            refused = await speak(world, run_id)
            assert (refused.status_code, refused.json()["code"]) == (429, "generation_busy")
            assert refused.headers["retry-after"]
        (world.folder(first) / "spoken").touch()
        assert json.loads([line async for line in lines][-1])["kind"] == "done"
    assert kinds(await speak(world, second))[-1] == "done"
    await eventually(lambda: _gone(world, first))


async def _gone(world: World, run_id: str) -> bool:
    return not speakers(world, run_id)


async def test_nobody_is_answered_who_has_left(world: World) -> None:
    await world.start()
    run_id = await completed(world)
    body = request(say=["a"], hold=True)
    async with world.http.stream("POST", f"/training/generate/{run_id}", json=body) as answer:
        await anext(answer.aiter_lines())
        assert speakers(world, run_id)
    await eventually(lambda: _gone(world, run_id))
    (world.folder(run_id) / "spoken").touch()
    assert kinds(await speak(world, run_id))[-1] == "done"


async def test_a_process_that_dies_is_told_of_and_replaced(world: World) -> None:
    await world.start()
    run_id = await completed(world)
    answer = await speak(world, run_id, say=["a"], die=True)
    last = json.loads(answer.text.splitlines()[-1])
    assert (last["kind"], last["error"]["code"]) == ("failed", "generator_lost")
    assert kinds(await speak(world, run_id))[-1] == "done"


async def test_the_process_ends_with_the_service(world: World) -> None:
    await world.start()
    run_id = await completed(world)
    assert kinds(await speak(world, run_id))[-1] == "done"
    world.kill()
    await eventually(lambda: _gone(world, run_id))


@pytest.mark.parametrize("wrong", [{}, {"messages": []}, {**request(), "max_tokens": 9999}])
async def test_a_bad_request_starts_nothing(world: World, wrong: dict[str, Any]) -> None:
    await world.start()
    run_id = await completed(world)
    assert (await world.http.post(f"/training/generate/{run_id}", json=wrong)).status_code == 400
    assert not speakers(world, run_id)


async def test_only_a_completed_run_with_files_is_tried(world: World) -> None:
    await world.start()
    run_id = await world.submit({"steps": 2, "hold_at": 1})
    answer = await speak(world, run_id)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_completed")
    world.let_go(run_id)
    await world.reaches(run_id, "completed")
    (world.folder(run_id) / "adapter" / "adapter_config.json").unlink()
    assert (await speak(world, run_id)).status_code == 410
    assert (await speak(world, "nonsense")).status_code == 404
