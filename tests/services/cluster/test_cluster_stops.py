"""Runs that end early: asked to finish, or stopped and resumed by another run."""

import hashlib
import json
from datetime import timedelta

import httpx
import pytest

from brightrun.contracts.cluster_api import RunArtifacts
from brightrun.contracts.training import TrainingSpec
from brightrun.contracts.values import new_id, utc_now
from tests.services.cluster.hosts import OwnProcess
from tests.services.cluster.service import ClusterService
from tests.waiting import eventually


async def test_a_run_asked_to_finish_completes_early_with_its_files(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit({"steps": 50, "hold_at": 2})
    await service.reaches_step(run_id, 2)
    assert (await service.end(run_id, "finish")).stage == "finishing"
    status = await service.reaches(run_id, "completed", within=5)
    assert (status.stopped_early, status.current_step) == (True, 2)
    artifacts = await service.artifacts(run_id)
    assert artifacts.model_metadata["stopped_early"] is True
    assert len(artifacts.files) == 2
    events = (await service.events()).events
    assert await service.end(run_id, "finish") == await service.end(run_id, "checkpoint") == status
    assert (await service.events()).events == events


async def test_a_finish_request_before_the_trainer_starts_is_not_lost(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit({"steps": 50, "pace": 0.05})
    await service.end(run_id, "finish")
    status = await service.reaches(run_id, "completed")
    assert (status.stopped_early, status.current_step) == (True, 1)


async def test_a_finish_request_survives_the_death_of_service_and_trainer(service: ClusterService) -> None:
    await service.start_process()
    run_id = await service.submit({"steps": 50, "hold_at": 2, "ignore_finish": True})
    await service.reaches_step(run_id, 2)
    await service.end(run_id, "finish")
    service.kill()
    for trainer in service.trainers(run_id):
        trainer.kill()
    (service.folder(run_id) / "data.jsonl").write_text('{"steps": 50, "pace": 0.05}')
    await service.start()
    status = await service.reaches(run_id, "completed")
    assert (status.stopped_early, status.current_step) == (True, 3)


async def test_a_trainer_that_takes_too_long_to_finish_is_stopped_and_delivers_what_it_has(
    service: ClusterService,
) -> None:
    await service.start(finish_grace_seconds=0.3)
    run_id = await service.submit({"hold_at": 2, "steps": 50, "ignore_finish": True})
    await service.reaches_step(run_id, 2)
    await service.end(run_id, "finish")
    await service.reaches(run_id, "completed", within=5)
    assert len((await service.artifacts(run_id)).files) == 2


async def test_a_cancel_overrules_a_finish(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit({"hold_at": 2, "steps": 50, "ignore_finish": True})
    await service.reaches_step(run_id, 2)
    await service.end(run_id, "finish")
    await service.end(run_id, "checkpoint")
    await service.reaches(run_id, "cancelled", within=5)


async def test_an_unknown_stop_mode_is_rejected(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit()
    response = await service.http.post(f"/training/stop/{run_id}", json={"mode": "explode"})
    assert (response.status_code, list(response.json()["details"])) == (400, ["mode"])


async def test_a_simulation_finishes_early_and_can_be_resumed_from(service: ClusterService) -> None:
    await service.start(executor="simulated", simulated_steps_per_second=50)
    early = await service.submit(hyperparameters=TrainingSpec(max_steps=5000))
    await service.reaches_step(early, 5)
    await service.end(early, "finish")
    assert (await service.reaches(early, "completed", within=5)).stopped_early

    job_id = new_id()
    first = await service.submit(hyperparameters=TrainingSpec(max_steps=200), job_id=job_id)
    await service.reaches_step(first, 5)
    await service.end(first, "checkpoint")
    stopped = await service.reaches(first, "cancelled", within=5)
    second = await service.submit(
        hyperparameters=TrainingSpec(max_steps=200), job_id=job_id, attempt=2, resume_from=first
    )
    await service.reaches(second, "completed")
    steps = [p.step for e in (await service.events()).events if e.run.external_job_id == second for p in e.points]
    assert steps == list(range(stopped.current_step + 1, 201))


async def test_a_slow_simulation_is_cancelled_at_once(service: ClusterService) -> None:
    await service.start(executor="simulated", simulated_steps_per_second=0.01)
    run_id = await service.submit()
    await service.reaches(run_id, "running")
    await service.cancel(run_id)
    await service.reaches(run_id, "cancelled", within=5)


async def test_a_stopped_run_is_resumed_by_another_run_of_its_job(service: ClusterService) -> None:
    await service.start()
    job_id = new_id()
    first = await service.submit({"steps": 8, "hold_at": 3}, job_id=job_id)
    await service.reaches_step(first, 3)
    await service.end(first, "checkpoint")
    stopped = await service.reaches(first, "cancelled")
    assert (stopped.last_checkpoint_step, stopped.checkpoint_seconds) == (3, 0.125)

    # One that is stopped before it has anything of its own is no dead end.
    second = await service.submit(
        dataset_url=service.platform.add_dataset(None), job_id=job_id, attempt=2, resume_from=first
    )
    await service.end(second, "checkpoint")
    await service.reaches(second, "cancelled")
    third = await service.submit({"steps": 8}, job_id=job_id, attempt=3, resume_from=second)
    completed = await service.reaches(third, "completed")
    assert completed.current_step == 8
    steps = [p.step for e in (await service.events()).events if e.run.external_job_id == third for p in e.points]
    assert steps == [4, 5, 6, 7, 8]


async def test_a_retry_of_the_same_training_goes_on_from_the_run_of_another_job(service: ClusterService) -> None:
    await service.start()
    script = {"steps": 8, "hold_at": 3}
    digest = hashlib.sha256(json.dumps(script).encode()).hexdigest()
    first = await service.submit(script, dataset_sha256=digest)
    await service.reaches_step(first, 3)
    await service.cancel(first)
    await service.reaches(first, "cancelled")
    retry = await service.submit(script, dataset_sha256=digest, resume_from=first)
    assert (await service.status(retry)).current_step == 3
    await service.reaches(retry, "completed")
    steps = [p.step for e in (await service.events()).events if e.run.external_job_id == retry for p in e.points]
    assert steps == [4, 5, 6, 7, 8]


@pytest.mark.parametrize("case", ["unknown", "another job", "no checkpoint"])
async def test_an_impossible_resume_is_rejected_and_can_be_submitted_without(
    service: ClusterService, case: str
) -> None:
    await service.start(slots=2)
    job_id = new_id()
    earlier = await service.submit({"fail": "some_code"} if case == "no checkpoint" else {}, job_id=job_id)
    await service.reaches(earlier, "failed" if case == "no checkpoint" else "completed")
    request = service.request(
        job_id=new_id() if case == "another job" else job_id,
        attempt=2,
        resume_from="run_unknown" if case == "unknown" else earlier,
    )
    response = await service.post(request)
    assert (response.status_code, response.json()["code"]) == (409, "not_resumable")
    assert (await service.post(request.model_copy(update={"resume_from": None}))).status_code == 201
    assert (await service.post(request)).status_code == 200  # the same attempt, whatever it asks for now


async def test_checkpoints_are_listed_as_they_appear_and_can_be_downloaded(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit({"steps": 4, "hold_at": 2})
    assert await service.checkpoints(run_id) == () or (await service.checkpoints(run_id))[0].step <= 2

    async def second() -> bool:
        return [checkpoint.step for checkpoint in await service.checkpoints(run_id)] == [2]

    await eventually(second)
    (checkpoint,) = await service.checkpoints(run_id)
    assert checkpoint.kept_until is None, "the run goes on"
    response = await service.http.get(f"/training/checkpoints/{run_id}/2")
    offered = RunArtifacts.model_validate_json(response.content)
    assert [file.name for file in offered.files] == ["adapter_config.json", "adapter_model.safetensors"]
    for file in offered.files:
        content = (await service.http.get(offered.download_urls[file.name], headers={"authorization": ""})).content
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
    url = offered.download_urls["adapter_model.safetensors"]
    for wrong in (
        httpx.URL(url).copy_set_param("signature", "0" * 64),
        httpx.URL(url.replace("/2/", "/1/")),
        httpx.URL(url.replace("adapter_model.safetensors", "trainer_state.json")),
    ):
        assert (await service.http.get(wrong)).status_code == 403
    for missing in ("3", "x", "-1", "2.tar"):
        assert (await service.http.get(f"/training/checkpoints/{run_id}/{missing}")).status_code in (400, 404)
    service.release(run_id)
    await service.reaches(run_id, "completed")
    (last,) = await service.checkpoints(run_id)
    assert last.step == 4
    assert last.kept_until
    assert timedelta(days=29) < last.kept_until - utc_now() <= timedelta(days=30)
    assert (await service.http.get(url)).status_code == 404
    assert (await service.http.get(f"/training/checkpoints/{run_id}/2")).status_code == 404


async def test_a_log_is_followed_until_the_run_ends(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit({"hold_at": 1, "log": 3})
    await service.reaches_step(run_id, 1)
    lines: list[str] = []
    async with service.http.stream("GET", f"/training/logs/{run_id}", params={"follow": True, "tail": 1}) as stream:
        async for line in stream.aiter_lines():
            lines.append(line)
            if line == "line 2":
                with (service.folder(run_id) / "log.txt").open("a") as log:
                    log.write("written while it is followed\n")
                service.release(run_id)
    assert lines == ["line 2", "written while it is followed"]
    assert (await service.status(run_id)).status == "completed"


async def test_followers_of_a_log_do_not_delay_a_graceful_stop(service: ClusterService) -> None:
    await service.start_process()
    run_id = await service.submit({"hold_at": 1})
    await service.reaches_step(run_id, 1)
    async with service.http.stream("GET", f"/training/logs/{run_id}", params={"follow": True}) as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "trainer: hello"
        assert isinstance(service.host, OwnProcess)
        service.host.process.terminate()
        assert [line async for line in lines] == []
    assert service.host.process.wait(timeout=20) == 0
