"""Runs on a real Ray cluster."""

import asyncio
import json
import os
import shlex
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from brightrun.contracts.training import GpuConfig, MetricPoint, TrainingSpec
from brightrun.contracts.values import new_id
from tests.services.cluster.platform import CALLBACK_SECRET
from tests.services.cluster.ray_cluster import REPOSITORY, RayCluster
from tests.services.cluster.service import KEY, ClusterService
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

H100 = GpuConfig(type="H100")
SAMPLE = REPOSITORY / "local" / "sample" / "conversations.jsonl"


@pytest.fixture(scope="module")
def ray() -> Iterator[RayCluster]:
    cluster = RayCluster()
    cluster.start()
    yield cluster
    cluster.close()


@pytest_asyncio.fixture
async def on_ray(service: ClusterService, ray: RayCluster) -> AsyncIterator[ClusterService]:
    """A service whose service trains on Ray, as settings of it say; not started yet."""
    ray.start()
    service.settings = {
        "executor": "ray",
        "ray_url": ray.url,
        "ray_gpu_types": json.dumps({"H100": "H100", "CPU": ""}),
        "cluster_name": f"ray-{new_id().hex}",
    }
    yield service
    ray.stop_jobs()


async def submit(service: ClusterService, script: dict[str, Any] | None = None, **changes: Any) -> str:
    """A run's id; Ray takes its time to give back what the run before it had."""

    async def taken() -> str | None:
        response = await service.post(service.request(script, **changes))
        return str(response.json()["external_job_id"]) if response.status_code == 201 else None

    return str(await eventually(taken, within=20))


async def free(service: ClusterService, kind: str) -> int:
    return next(gpu.free for gpu in (await service.capacity()).gpus if gpu.type == kind)


async def points_of(service: ClusterService, run_id: str) -> list[MetricPoint]:
    events = (await service.events(limit=5000)).events
    return [point for event in events if event.run.external_job_id == run_id for point in event.points]


def starts(service: ClusterService, run_id: str) -> int:
    return (service.folder(run_id) / "starts").stat().st_size


async def test_a_run_gets_the_gpus_it_asked_for_and_no_secret(on_ray: ClusterService) -> None:
    await on_ray.start()
    capacity = await on_ray.capacity()
    assert [(gpu.type, gpu.total, gpu.free) for gpu in capacity.gpus] == [("H100", 2, 2), ("CPU", 4, 4)]
    run_id = await submit(on_ray, {"hold_at": 1}, gpu_config=H100)
    await on_ray.reaches_step(run_id, 1)
    assert await free(on_ray, "H100") == 1
    on_ray.release(run_id)
    await on_ray.reaches(run_id, "completed")
    metadata = (await on_ray.artifacts(run_id)).model_metadata
    environment = metadata["environment"]
    assert environment["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    assert [name for name in environment if name.startswith(("BRIGHTRUN", "RAY"))] == ["BRIGHTRUN_MODELS"]
    assert not set(environment.values()) & {KEY, CALLBACK_SECRET}
    assert (metadata["niceness"], metadata["limits"]["CORE"]) == (os.nice(0) + 5, 0)
    assert await free(on_ray, "H100") == 2

    on_cpu = await submit(on_ray, gpu_config=GpuConfig(type="CPU"))
    await on_ray.reaches(on_cpu, "completed")
    assert (await on_ray.artifacts(on_cpu)).model_metadata["environment"]["CUDA_VISIBLE_DEVICES"] == ""


async def test_runs_on_ray_are_finished_and_stopped_and_resumed(on_ray: ClusterService) -> None:
    await on_ray.start()
    job_id = new_id()
    first = await submit(on_ray, {"steps": 9, "hold_at": 3}, job_id=job_id)
    early = await submit(on_ray, {"steps": 50, "hold_at": 2})
    await on_ray.reaches_step(first, 3)
    await on_ray.reaches_step(early, 2)
    await on_ray.end(first, "checkpoint")
    await on_ray.end(early, "finish")
    assert (await on_ray.reaches(first, "cancelled", within=5)).last_checkpoint_step == 3
    assert (await on_ray.reaches(early, "completed", within=5)).stopped_early
    second = await submit(on_ray, {"steps": 9}, job_id=job_id, attempt=2, resume_from=first)
    await on_ray.reaches(second, "completed")
    steps = [p.step for e in (await on_ray.events()).events if e.run.external_job_id == second for p in e.points]
    assert steps == [4, 5, 6, 7, 8, 9]


async def test_a_run_on_ray_outlives_the_service_and_is_found_again(on_ray: ClusterService, ray: RayCluster) -> None:
    await on_ray.start()
    run_id = await submit(on_ray, {"steps": 6, "hold_at": 4})
    await on_ray.reaches_step(run_id, 4)
    await on_ray.stop()
    assert on_ray.trainers(run_id)
    await on_ray.start_process()
    on_ray.kill()
    on_ray.release(run_id)
    await on_ray.start()
    await on_ray.reaches(run_id, "completed")
    assert starts(on_ray, run_id) == 1
    assert [point.step for event in (await on_ray.events()).events for point in event.points] == list(range(1, 7))
    await on_ray.stop()
    await on_ray.start()

    async def forgotten() -> bool:
        return f"{run_id}-1" not in ray.jobs()

    await eventually(forgotten)


async def test_a_run_that_waits_for_a_place_is_not_billed_and_can_be_cancelled(
    on_ray: ClusterService, ray: RayCluster
) -> None:
    await on_ray.start()
    all_cpus = await submit(on_ray, {"hold_at": 1}, gpu_config=GpuConfig(type="CPU", count=4))
    await on_ray.reaches_step(all_cpus, 1)
    run_id = await submit(on_ray, gpu_config=H100)

    async def waits() -> bool:
        return ray.jobs().get(f"{run_id}-1") == "PENDING"

    await eventually(waits)
    assert (await on_ray.status(run_id)).stage == "waiting"
    await on_ray.cancel(run_id)
    assert (await on_ray.reaches(run_id, "cancelled", within=5)).started_at is None
    on_ray.release(all_cpus)

    async def over() -> bool:
        return ray.jobs().get(f"{run_id}-1") in (None, "STOPPED", "SUCCEEDED", "FAILED")

    await eventually(over, within=30)
    assert not (on_ray.folder(run_id) / "adapter" / "adapter_config.json").exists()


async def test_a_new_head_without_jobs_is_sent_them_again(on_ray: ClusterService, ray: RayCluster) -> None:
    await on_ray.start()
    run_id = await submit(on_ray, {"steps": 6, "hold_at": 4})
    await on_ray.reaches_step(run_id, 4)
    await asyncio.to_thread(ray.kill)
    assert (await on_ray.post(on_ray.request())).json()["code"] == "executor_unreachable"
    assert (await on_ray.capacity()).free_gpus == 0
    assert (await on_ray.status(run_id)).status == "running"
    await asyncio.to_thread(ray.start)
    on_ray.release(run_id)
    await on_ray.reaches(run_id, "completed", within=40)
    assert starts(on_ray, run_id) == 2
    assert [point.step for event in (await on_ray.events()).events for point in event.points] == list(range(1, 7))
    assert "head was started anew" in (on_ray.folder(run_id) / "log.txt").read_text()


async def test_the_tiny_model_is_really_trained_on_ray(on_ray: ClusterService, ray: RayCluster) -> None:
    trainer = Path(os.environ.get("BRIGHTRUN_TRAINER_PYTHON", REPOSITORY / ".trainer-venv" / "bin" / "python"))
    sources = ":".join(str(REPOSITORY / part / "src") for part in ("trainer", "libs/contracts"))
    python = on_ray.home / "real-trainer-python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(sources)} exec {shlex.quote(str(trainer))} "$@"\n')
    python.chmod(0o755)
    await on_ray.start(
        trainer_python=python,
        models=REPOSITORY / ".cache" / "models",
        finish_grace_seconds=60,
    )
    job: dict[str, Any] = {
        "job_id": new_id(),
        "dataset_url": on_ray.platform.add_dataset(b"".join(SAMPLE.read_bytes().splitlines(keepends=True)[:48])),
        "hyperparameters": TrainingSpec(learning_rate=1e-3, max_steps=400),
        "gpu_config": H100,
    }
    first = await submit(on_ray, **job)
    await on_ray.reaches_step(first, 10, within=90)
    await on_ray.end(first, "checkpoint")
    stopped = await on_ray.reaches(first, "cancelled", within=10)
    assert stopped.last_checkpoint_step == stopped.current_step
    assert stopped.checkpoint_seconds

    second = await submit(on_ray, **job, attempt=2, resume_from=first)
    await on_ray.reaches_step(second, stopped.current_step + 10, within=90)
    await on_ray.end(second, "finish")
    status = await on_ray.reaches(second, "completed", within=60)
    assert status.stopped_early
    assert stopped.trained_tokens < status.trained_tokens
    points = {run: await points_of(on_ray, run) for run in (first, second)}
    steps = [point.step for run in (first, second) for point in points[run]]
    assert steps == list(range(1, status.current_step + 1))
    assert points[second][0].training_loss == pytest.approx(points[first][-1].training_loss, abs=0.7)
    comparison = (await on_ray.artifacts(second)).model_metadata["comparison"]
    assert comparison["adapter_loss"] < comparison["base_loss"]


async def test_a_head_that_stays_away_fails_its_runs_as_retryable(on_ray: ClusterService, ray: RayCluster) -> None:
    await on_ray.start(patience_seconds=1)
    run_id = await submit(on_ray, {"steps": 6, "hold_at": 4})
    await on_ray.reaches_step(run_id, 4)
    await asyncio.to_thread(ray.kill)
    status = await on_ray.reaches(run_id, "failed", within=15)
    assert status.error
    assert (status.error.code, status.error.retryable) == ("cluster_unreachable", True)
    assert (on_ray.folder(run_id) / "order").read_text() == "1 checkpoint"  # for a trainer that is still there
