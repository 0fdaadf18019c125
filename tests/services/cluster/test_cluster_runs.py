"""What a run does from its submission to its one end."""

import hashlib
import json

import pytest

from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import new_id
from tests.services.cluster.platform import CALLBACK_SECRET
from tests.services.cluster.service import KEY, ClusterService
from tests.waiting import eventually


async def test_a_run_trains_and_its_files_can_be_fetched(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit({"steps": 4})
    status = await service.reaches(run_id, "completed")

    assert (status.progress, status.current_step, status.total_steps, status.trained_tokens) == (100, 4, 4, 30)
    assert status.metrics
    assert status.metrics.training_loss == 2.0
    assert status.started_at
    assert status.finished_at
    assert status.finished_at >= status.started_at
    artifacts = await service.artifacts(run_id)
    assert [file.name for file in artifacts.files] == ["adapter_config.json", "adapter_model.safetensors"]
    for file in artifacts.files:
        response = await service.http.get(artifacts.download_urls[file.name], headers={"authorization": ""})
        assert len(response.content) == file.size
        assert hashlib.sha256(response.content).hexdigest() == file.sha256
    log = await service.http.get(f"/training/logs/{run_id}", params={"tail": 1})
    assert log.text == "trainer: hello\n"


async def test_a_trainer_sees_no_secret_and_has_low_priority(service: ClusterService) -> None:
    await service.start_process({"AWS_SECRET_ACCESS_KEY": "a-secret-of-the-shell"})
    run_id = await service.submit()
    await service.reaches(run_id, "completed")
    metadata = (await service.artifacts(run_id)).model_metadata
    assert metadata["niceness"] == 5
    assert [name for name in metadata["environment"] if name.startswith("BRIGHTRUN")] == ["BRIGHTRUN_MODELS"]
    assert not set(metadata["environment"].values()) & {KEY, CALLBACK_SECRET, "a-secret-of-the-shell"}
    written = "".join(path.read_text() for path in (service.home / "cluster" / "runs").rglob("*.json*"))
    written += service.log.read_text()
    for secret in (KEY, CALLBACK_SECRET, "a-secret-signature"):
        assert secret not in written


async def test_reports_become_events_in_order(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit({"steps": 3})
    await service.reaches(run_id, "completed")
    events = (await service.events()).events
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.cursor for event in events] == sorted(event.cursor for event in events)
    assert [(event.run.status, event.run.stage) for event in events[:5]] == [
        ("initializing", "downloading"),
        ("initializing", "loading"),
        ("initializing", "loading"),
        ("initializing", "tokenizing"),
        ("running", "tokenizing"),
    ]
    assert [point.step for event in events for point in event.points] == [1, 2, 3]
    assert events[-1].run.status == "completed"


async def test_an_attempt_submitted_again_answers_with_its_first_run(service: ClusterService) -> None:
    await service.start()
    request = service.request({"hold_at": 1})
    first, again = await service.post(request), await service.post(request)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["external_job_id"] == again.json()["external_job_id"]
    run_id = first.json()["external_job_id"]
    service.release(run_id)
    await service.reaches(run_id, "completed")
    assert (await service.post(request)).json() == {"external_job_id": run_id, "status": "completed"}
    assert (await service.post(request.model_copy(update={"attempt": 2}))).status_code == 201


async def test_a_busy_cluster_takes_no_more_until_a_slot_is_free(service: ClusterService) -> None:
    await service.start(slots=3)
    two = await service.submit({"hold_at": 1}, gpu_config=GpuConfig(type="CPU", count=2))
    await service.submit({"hold_at": 1})
    capacity = await service.http.get("/training/capacity")
    assert capacity.json() == {
        "total_gpus": 3,
        "free_gpus": 0,
        "gpus": [{"type": "CPU", "total": 3, "free": 0}],
    }
    rejection = await service.post(service.request())
    assert (rejection.status_code, rejection.json()["code"]) == (429, "no_capacity")
    service.release(two)
    await service.reaches(two, "completed")
    assert (await service.http.get("/training/capacity")).json()["free_gpus"] == 2
    await service.submit(gpu_config=GpuConfig(type="CPU", count=2))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"gpu_config": GpuConfig(type="H100")}, "gpu_config.type"),
        ({"gpu_config": GpuConfig(type="CPU", count=2)}, "gpu_config.count"),
        ({"hyperparameters": TrainingSpec(base_model="../tiny")}, "hyperparameters.base_model"),
    ],
)
async def test_unsupported_configurations_are_rejected_by_field(
    service: ClusterService, changes: dict, field: str
) -> None:
    await service.start()
    response = await service.post(service.request(**changes))
    assert (response.status_code, response.json()["code"]) == (400, "unsupported")
    assert list(response.json()["details"]) == [field]


@pytest.mark.parametrize(
    ("script", "code", "starts"),
    [
        ({"fail": "out_of_memory"}, "out_of_memory", 1),
        ({"die": True}, "run_lost", 3),
        ({"signal": 9}, "trainer_killed", 3),
        ({"signal": 11}, "trainer_crashed", 3),
        ({"signal": 6, "last_words": "Watchdog caught collective operation timeout: WorkNCCL"}, "gpu_timeout", 3),
        ({"files": ["adapter_config.json", "not_there"]}, "artifact_incomplete", 1),
        ({"files": ["../spec.json"]}, "artifact_incomplete", 1),
    ],
)
async def test_a_run_that_cannot_go_on_fails_with_its_cause(
    service: ClusterService, script: dict, code: str, starts: int
) -> None:
    await service.start(max_restarts=2)
    run_id = await service.submit(script)
    status = await service.reaches(run_id, "failed")
    assert status.error
    assert status.error.code == code
    assert status.error_message == status.error.message
    assert (service.folder(run_id) / "starts").stat().st_size == starts


async def test_a_trainer_that_dies_in_the_middle_of_a_line_is_resumed(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit({"steps": 6, "die_at": 3})
    await service.reaches(run_id, "completed")
    steps = [point.step for event in (await service.events()).events for point in event.points]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert (service.folder(run_id) / "starts").stat().st_size == 2


async def test_cancelling_a_training_saves_and_stops_it(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit({"hold_at": 2})
    await service.reaches_step(run_id, 2)
    assert (await service.cancel(run_id)).stage == "cancelling"
    status = await service.reaches(run_id, "cancelled", within=5)
    assert status.finished_at
    assert json.loads((service.folder(run_id) / "out.jsonl").read_text().splitlines()[-1])["outcome"] == "stopped"
    events = (await service.events()).events
    assert (await service.cancel(run_id)).status == "cancelled"
    assert (await service.events()).events == events


async def test_a_trainer_that_does_not_stop_is_killed(service: ClusterService) -> None:
    await service.start(stop_grace_seconds=0.3)
    run_id = await service.submit({"ignore_stop": True, "steps": 10_000, "pace": 0.01})
    await service.reaches_step(run_id, 1)
    await service.cancel(run_id)
    await service.cancel(run_id)
    await service.reaches(run_id, "cancelled", within=5)
    assert not service.trainers(run_id)
    assert [event.run.stage for event in (await service.events()).events].count("cancelled") == 1


async def test_cancelling_a_completed_run_changes_nothing(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit()
    completed = await service.reaches(run_id, "completed")
    assert await service.cancel(run_id) == completed


async def test_state_changes_are_called_back_with_a_signature(service: ClusterService) -> None:
    await service.start()
    job_id = new_id()
    run_id = await service.submit({"hold_at": 1}, job_id=job_id)
    await service.reaches(run_id, "running")
    service.release(run_id)

    async def states() -> bool:
        return {call.status for call in service.platform.callbacks if call.job_id == job_id} == {"running", "completed"}

    await eventually(states)


async def test_a_dead_callback_address_does_not_delay_the_run(service: ClusterService) -> None:
    await service.start()
    run_id = await service.submit(callback_url="http://127.0.0.1:9/callback")
    await service.reaches(run_id, "completed", within=5)


async def test_a_simulation_is_marked_everywhere(service: ClusterService) -> None:
    await service.start(
        executor="simulated",
        trainer_python=None,
        models=None,
        simulated_steps_per_second=500,
    )
    run_id = await service.submit(hyperparameters=TrainingSpec(max_steps=200, base_model="any/model"))
    await service.reaches(run_id, "completed")
    assert (await service.http.get("/training/capabilities")).json()["simulated"] is True
    assert (await service.artifacts(run_id)).model_metadata["simulated"] is True
    events = (await service.events()).events
    assert all(event.run.stage.endswith("(simulated)") for event in events)
    losses = [point.training_loss for event in events for point in event.points]
    assert len(losses) == 200
    assert sum(losses[:20]) > sum(losses[-20:])
    assert [checkpoint.step for event in events for checkpoint in event.checkpoints] == [50, 100, 150, 200]
    assert all(checkpoint.saved_at <= event.at for event in events for checkpoint in event.checkpoints)
