"""Runs that end before their time: told to finish, or stopped and gone on with by another run."""

import io
import tarfile

import httpx
import pytest

from brightrun.contracts.training import TrainingSpec
from brightrun.contracts.values import new_id
from tests.services.cluster.world import World
from tests.waiting import eventually


async def test_a_run_told_to_finish_completes_early_with_its_files(world: World) -> None:
    await world.start()
    run_id = await world.submit({"steps": 50, "hold_at": 2})
    await world.reaches_step(run_id, 2)
    assert (await world.end(run_id, "finish")).stage == "finishing"
    status = await world.reaches(run_id, "completed", within=5)
    assert (status.stopped_early, status.current_step) == (True, 2)
    artifacts = await world.artifacts(run_id)
    assert artifacts.model_metadata["stopped_early"] is True
    assert len(artifacts.files) == 2
    events = (await world.events()).events
    assert await world.end(run_id, "finish") == await world.end(run_id, "checkpoint") == status
    assert (await world.events()).events == events


async def test_an_order_to_finish_is_not_lost_before_the_trainer_is_there(world: World) -> None:
    await world.start()
    run_id = await world.submit({"steps": 50, "pace": 0.05})
    await world.end(run_id, "finish")
    status = await world.reaches(run_id, "completed")
    assert (status.stopped_early, status.current_step) == (True, 1)


async def test_an_order_to_finish_survives_the_death_of_service_and_trainer(world: World) -> None:
    await world.start()
    run_id = await world.submit({"steps": 50, "hold_at": 2, "ignore_finish": True})
    await world.reaches_step(run_id, 2)
    await world.end(run_id, "finish")
    world.kill()
    for trainer in world.trainers(run_id):
        trainer.kill()
    (world.folder(run_id) / "data.jsonl").write_text('{"steps": 50, "pace": 0.05}')
    await world.start()
    status = await world.reaches(run_id, "completed")
    assert (status.stopped_early, status.current_step) == (True, 3)


async def test_a_trainer_that_takes_too_long_to_finish_is_stopped_and_delivers_what_it_has(world: World) -> None:
    await world.start(BRIGHTRUN_FINISH_GRACE_SECONDS=0.3)
    run_id = await world.submit({"hold_at": 2, "steps": 50, "ignore_finish": True})
    await world.reaches_step(run_id, 2)
    await world.end(run_id, "finish")
    await world.reaches(run_id, "completed", within=5)
    assert len((await world.artifacts(run_id)).files) == 2


async def test_a_cancel_overrules_a_finish(world: World) -> None:
    await world.start()
    run_id = await world.submit({"hold_at": 2, "steps": 50, "ignore_finish": True})
    await world.reaches_step(run_id, 2)
    await world.end(run_id, "finish")
    await world.end(run_id, "checkpoint")
    await world.reaches(run_id, "cancelled", within=5)


async def test_an_unknown_way_to_stop_is_refused(world: World) -> None:
    await world.start()
    run_id = await world.submit()
    answer = await world.http.post(f"/training/stop/{run_id}", json={"mode": "explode"})
    assert (answer.status_code, list(answer.json()["details"])) == (400, ["mode"])


async def test_a_simulation_finishes_early_and_can_be_resumed_from(world: World) -> None:
    await world.start(BRIGHTRUN_EXECUTOR="simulated", BRIGHTRUN_SIMULATED_STEPS_PER_SECOND=50)
    early = await world.submit(hyperparameters=TrainingSpec(max_steps=5000))
    await world.reaches_step(early, 5)
    await world.end(early, "finish")
    assert (await world.reaches(early, "completed", within=5)).stopped_early

    job_id = new_id()
    first = await world.submit(hyperparameters=TrainingSpec(max_steps=200), job_id=job_id)
    await world.reaches_step(first, 5)
    await world.end(first, "checkpoint")
    stopped = await world.reaches(first, "cancelled", within=5)
    second = await world.submit(
        hyperparameters=TrainingSpec(max_steps=200), job_id=job_id, attempt=2, resume_from=first
    )
    await world.reaches(second, "completed")
    steps = [p.step for e in (await world.events()).events if e.run.external_job_id == second for p in e.points]
    assert steps == list(range(stopped.current_step + 1, 201))


async def test_a_simulation_that_takes_its_time_is_cancelled_at_once(world: World) -> None:
    await world.start(BRIGHTRUN_EXECUTOR="simulated", BRIGHTRUN_SIMULATED_STEPS_PER_SECOND=0.01)
    run_id = await world.submit()
    await world.reaches(run_id, "running")
    await world.cancel(run_id)
    await world.reaches(run_id, "cancelled", within=5)


async def test_a_stopped_run_is_gone_on_with_by_another_run_of_its_job(world: World) -> None:
    await world.start()
    job_id = new_id()
    first = await world.submit({"steps": 8, "hold_at": 3}, job_id=job_id)
    await world.reaches_step(first, 3)
    await world.end(first, "checkpoint")
    stopped = await world.reaches(first, "cancelled")
    assert (stopped.last_checkpoint_step, stopped.checkpoint_seconds) == (3, 0.125)

    # One that is stopped before it has anything of its own is no dead end.
    second = await world.submit(
        dataset_url=world.outside.add_dataset(None), job_id=job_id, attempt=2, resume_from=first
    )
    await world.end(second, "checkpoint")
    await world.reaches(second, "cancelled")
    third = await world.submit({"steps": 8}, job_id=job_id, attempt=3, resume_from=second)
    completed = await world.reaches(third, "completed")
    assert completed.current_step == 8
    steps = [p.step for e in (await world.events()).events if e.run.external_job_id == third for p in e.points]
    assert steps == [4, 5, 6, 7, 8]


@pytest.mark.parametrize("case", ["unknown", "another job", "no checkpoint"])
async def test_what_cannot_be_resumed_is_refused_and_can_be_submitted_without(world: World, case: str) -> None:
    await world.start(BRIGHTRUN_SLOTS=2)
    job_id = new_id()
    earlier = await world.submit({"fail": "some_code"} if case == "no checkpoint" else {}, job_id=job_id)
    await world.reaches(earlier, "failed" if case == "no checkpoint" else "completed")
    request = world.request(
        job_id=new_id() if case == "another job" else job_id,
        attempt=2,
        resume_from="run_unknown" if case == "unknown" else earlier,
    )
    answer = await world.post(request)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_resumable")
    assert (await world.post(request.model_copy(update={"resume_from": None}))).status_code == 201
    assert (await world.post(request)).status_code == 200  # the same attempt, whatever it says now


async def test_checkpoints_are_listed_as_they_appear_and_can_be_downloaded(world: World) -> None:
    await world.start()
    run_id = await world.submit({"steps": 4, "hold_at": 2})
    assert await world.checkpoints(run_id) == () or (await world.checkpoints(run_id))[0].step <= 2

    async def second() -> bool:
        return [one.step for one in await world.checkpoints(run_id)] == [2]

    await eventually(second)
    checkpoint = (await world.checkpoints(run_id))[0]
    answer = await world.http.get(checkpoint.download_url, headers={"authorization": ""})
    assert answer.status_code == 200
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        members = archive.getmembers()
        assert {member.name.partition("/")[2] for member in members} == {
            "adapter_model.safetensors",
            "trainer_state.json",
        }
        assert sum(member.size for member in members) == checkpoint.size
    for wrong in (
        httpx.URL(checkpoint.download_url).copy_set_param("signature", "0" * 64),
        httpx.URL(checkpoint.download_url.replace("/2.tar", "/1.tar")),
    ):
        assert (await world.http.get(wrong)).status_code == 403
    world.let_go(run_id)
    await world.reaches(run_id, "completed")
    assert [one.step for one in await world.checkpoints(run_id)] == [4]
    assert (await world.http.get(checkpoint.download_url)).status_code == 404


async def test_a_log_is_followed_until_the_run_ends(world: World) -> None:
    await world.start()
    run_id = await world.submit({"hold_at": 1, "log": 3})
    await world.reaches_step(run_id, 1)
    heard: list[str] = []
    async with world.http.stream("GET", f"/training/logs/{run_id}", params={"follow": True, "tail": 1}) as stream:
        async for line in stream.aiter_lines():
            heard.append(line)
            if line == "line 2":
                with (world.folder(run_id) / "log.txt").open("a") as log:
                    log.write("written while it is followed\n")
                world.let_go(run_id)
    assert heard == ["line 2", "written while it is followed"]
    assert (await world.status(run_id)).status == "completed"


async def test_followers_of_a_log_do_not_hold_up_a_graceful_stop(world: World) -> None:
    await world.start()
    run_id = await world.submit({"hold_at": 1})
    await world.reaches_step(run_id, 1)
    async with world.http.stream("GET", f"/training/logs/{run_id}", params={"follow": True}) as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "trainer: hello"
        assert world.process
        world.process.terminate()
        assert [line async for line in lines] == []
    assert world.process.wait(timeout=20) == 0
