"""Resource limits of runs, and retention."""

import httpx
import psutil
import pytest

from brightrun.contracts.cluster_api import AdapterInput, RunInput
from brightrun.contracts.values import new_id
from tests.services.cluster.service import ClusterService
from tests.waiting import eventually

HUGE = 1 << 60


async def test_a_trainer_has_process_limits(service: ClusterService) -> None:
    await service.start(run_file_bytes=1 << 30)
    run_id = await service.submit({"hold_at": 1})
    await service.reaches_step(run_id, 1)
    (trainer,) = service.trainers(run_id)
    with open(f"/proc/{trainer.pid}/oom_score_adj") as score:  # noqa: ASYNC230
        assert int(score.read()) == 500
    service.release(run_id)
    await service.reaches(run_id, "completed")
    metadata = (await service.artifacts(run_id)).model_metadata
    assert metadata["leader"] is True
    assert metadata["limits"]["CORE"] == 0
    assert metadata["limits"]["FSIZE"] == 1 << 30
    assert 0 < metadata["limits"]["NOFILE"] <= 65_536


@pytest.mark.parametrize(
    ("setting", "code"),
    [("free_disk_bytes", "disk_full"), ("free_memory_bytes", "memory_short")],
)
async def test_a_machine_short_of_disk_or_memory_takes_no_run(service: ClusterService, setting: str, code: str) -> None:
    await service.start(**{setting: HUGE})
    response = await service.post(service.request())
    assert (response.status_code, response.json()["code"]) == (429, code)
    assert response.headers["retry-after"]
    assert (await service.capacity()).gpus[0].free == 0
    assert await service.metric(f'brightrun_cluster_submissions_total{{answer="{code}"}}') == 1
    assert await service.metric("brightrun_cluster_free_disk_bytes") > 0


async def test_live_runs_have_a_maximum(service: ClusterService) -> None:
    await service.start(slots=3, max_live_runs=1)
    run_id = await service.submit({"hold_at": 1})
    response = await service.post(service.request())
    assert (response.status_code, response.json()["code"]) == (429, "too_many_runs")
    service.release(run_id)
    await service.reaches(run_id, "completed")
    await service.submit()


async def test_no_trainer_starts_on_a_full_disk_and_a_run_waits_until_a_deadline(
    service: ClusterService,
) -> None:
    await service.start()
    run_id = await service.submit({"steps": 4, "hold_at": 2})
    await service.reaches_step(run_id, 2)
    await service.stop()
    await service.start(free_disk_bytes=HUGE)

    async def waits() -> bool:
        status = await service.status(run_id)
        return status.stage == "waiting" and "disk" in status.message

    await eventually(waits)
    assert not service.trainers(run_id)
    await service.stop()
    await service.start(patience_seconds=0.1)
    status = await service.reaches(run_id, "failed")
    assert status.error
    assert (status.error.code, status.error.retryable) == ("disk_full", True)


async def test_a_trainer_that_takes_too_much_memory_is_killed_and_its_run_fails(service: ClusterService) -> None:
    await service.start(run_memory_bytes=100 << 20)
    run_id = await service.submit({"steps": 10_000, "pace": 0.01, "grow": 200})
    status = await service.reaches(run_id, "failed")
    assert status.error
    assert (status.error.code, status.error.retryable) == ("out_of_memory", False)
    assert "100 MiB" in status.error.message
    assert not service.trainers(run_id)
    assert await service.metric("brightrun_cluster_trainers_too_large_total") == 1


async def test_an_orphan_trainer_is_killed(service: ClusterService) -> None:
    await service.start_process()
    run_id = await service.submit({"steps": 10_000, "pace": 0.01})
    await service.reaches_step(run_id, 1)
    service.kill()
    (trainer,) = service.trainers(run_id)
    for name in ("cluster.db", "cluster.db-wal", "cluster.db-shm"):
        (service.home / "cluster" / name).unlink(missing_ok=True)
    await service.start()

    async def gone() -> bool:
        return not trainer.is_running() or trainer.status() == psutil.STATUS_ZOMBIE

    await eventually(gone)
    assert await service.metric("brightrun_cluster_orphans_ended_total") == 1


async def test_old_runs_are_deleted_once_their_files_were_downloaded(service: ClusterService) -> None:
    await service.start(slots=3)
    job_id = new_id()
    fetched, unfetched = await service.submit(), await service.submit()
    live = await service.submit({"hold_at": 1}, job_id=job_id)
    for run_id in (fetched, unfetched):
        await service.reaches(run_id, "completed")
    urls = (await service.artifacts(fetched)).download_urls
    for url in urls.values():
        assert (await service.http.get(url)).status_code == 200
    await service.stop()
    await service.start(keep_run_days=1e-9)

    async def removed() -> bool:
        counted = 'brightrun_cluster_removed_bytes_total{part="run"}' in (await service.http.get("/metrics")).text
        return counted and not service.folder(fetched).exists()

    await eventually(removed)
    assert service.folder(unfetched).exists()
    assert service.folder(live).exists()
    assert await service.metric("brightrun_cluster_unfetched_runs") == 1
    assert await service.metric('brightrun_cluster_removed_bytes_total{part="run"}') > 0
    assert (await service.http.get(f"/training/artifacts/{fetched}")).json()["code"] == "removed"
    assert (await service.http.get(httpx.URL(urls["adapter_config.json"]).raw_path.decode())).status_code == 410
    assert (await service.status(fetched)).status == "completed"


async def test_a_disk_that_fills_up_loses_datasets_and_checkpoints_first(service: ClusterService) -> None:
    await service.start()
    validation = RunInput(url=service.platform.add_dataset(b"{}"))
    adapter = [AdapterInput(name="adapter_config.json", url=validation.url)]
    run_id = await service.submit(validation=validation, adapter=adapter)
    await service.reaches(run_id, "completed")
    await service.stop()
    folder = service.folder(run_id)
    gone = [folder / name for name in ("data.jsonl", "validation.jsonl", "init_adapter", "checkpoints")]
    assert all(path.exists() for path in gone)
    await service.start(keep_free_bytes=HUGE)

    async def spared() -> bool:
        return not any(path.exists() for path in gone)

    await eventually(spared)
    assert (folder / "adapter" / "adapter_model.safetensors").exists()
