"""What protects the machine from the runs."""

import httpx
import psutil
import pytest

from brightrun.contracts.cluster_api import AdapterInput, RunInput
from brightrun.contracts.values import new_id
from tests.services.cluster.world import World
from tests.waiting import eventually

HUGE = 1 << 60


async def test_a_trainer_is_confined(world: World) -> None:
    await world.start(BRIGHTRUN_RUN_FILE_BYTES=1 << 30)
    run_id = await world.submit({"hold_at": 1})
    await world.reaches_step(run_id, 1)
    (trainer,) = world.trainers(run_id)
    with open(f"/proc/{trainer.pid}/oom_score_adj") as score:  # noqa: ASYNC230
        assert int(score.read()) == 500
    world.let_go(run_id)
    await world.reaches(run_id, "completed")
    metadata = (await world.artifacts(run_id)).model_metadata
    assert metadata["leader"] is True
    assert metadata["limits"]["CORE"] == 0
    assert metadata["limits"]["FSIZE"] == 1 << 30
    assert 0 < metadata["limits"]["NOFILE"] <= 65_536


@pytest.mark.parametrize(
    ("setting", "code"),
    [("BRIGHTRUN_FREE_DISK_BYTES", "disk_full"), ("BRIGHTRUN_FREE_MEMORY_BYTES", "memory_short")],
)
async def test_a_machine_that_is_short_of_something_takes_no_run(world: World, setting: str, code: str) -> None:
    await world.start(**{setting: HUGE})
    answer = await world.post(world.request())
    assert (answer.status_code, answer.json()["code"]) == (429, code)
    assert answer.headers["retry-after"]
    assert (await world.capacity()).gpus[0].free == 0
    assert await world.metric(f'brightrun_cluster_submissions_total{{answer="{code}"}}') == 1
    assert await world.metric("brightrun_cluster_free_disk_bytes") > 0


async def test_there_is_a_largest_number_of_live_runs(world: World) -> None:
    await world.start(BRIGHTRUN_SLOTS=3, BRIGHTRUN_MAX_LIVE_RUNS=1)
    run_id = await world.submit({"hold_at": 1})
    answer = await world.post(world.request())
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_runs")
    world.let_go(run_id)
    await world.reaches(run_id, "completed")
    await world.submit()


async def test_a_trainer_is_not_started_on_a_full_disk_and_a_run_waits_for_space_only_so_long(world: World) -> None:
    await world.start()
    run_id = await world.submit({"steps": 4, "hold_at": 2})
    await world.reaches_step(run_id, 2)
    world.stop()
    await world.start(BRIGHTRUN_FREE_DISK_BYTES=HUGE)

    async def waits() -> bool:
        status = await world.status(run_id)
        return status.stage == "waiting" and "disk" in status.message

    await eventually(waits)
    assert not world.trainers(run_id)
    world.stop()
    await world.start(BRIGHTRUN_PATIENCE_SECONDS=0.1)
    status = await world.reaches(run_id, "failed")
    assert status.error
    assert (status.error.code, status.error.retryable) == ("disk_full", True)


async def test_a_trainer_that_takes_too_much_memory_is_ended_and_told_why(world: World) -> None:
    await world.start(BRIGHTRUN_RUN_MEMORY_BYTES=100 << 20)
    run_id = await world.submit({"steps": 10_000, "pace": 0.01, "grow": 200})
    status = await world.reaches(run_id, "failed")
    assert status.error
    assert (status.error.code, status.error.retryable) == ("out_of_memory", False)
    assert "100 MiB" in status.error.message
    assert not world.trainers(run_id)
    assert await world.metric("brightrun_cluster_trainers_too_large_total") == 1


async def test_a_trainer_without_a_live_run_is_ended(world: World) -> None:
    await world.start()
    run_id = await world.submit({"steps": 10_000, "pace": 0.01})
    await world.reaches_step(run_id, 1)
    world.kill()
    (trainer,) = world.trainers(run_id)
    for name in ("cluster.db", "cluster.db-wal", "cluster.db-shm"):
        (world.home / "cluster" / name).unlink(missing_ok=True)
    await world.start()

    async def gone() -> bool:
        return not trainer.is_running() or trainer.status() == psutil.STATUS_ZOMBIE

    await eventually(gone)
    assert await world.metric("brightrun_cluster_strangers_ended_total") == 1


async def test_old_runs_are_removed_once_their_files_were_fetched(world: World) -> None:
    await world.start(BRIGHTRUN_SLOTS=3)
    job_id = new_id()
    fetched, unfetched = await world.submit(), await world.submit()
    live = await world.submit({"hold_at": 1}, job_id=job_id)
    for run_id in (fetched, unfetched):
        await world.reaches(run_id, "completed")
    urls = (await world.artifacts(fetched)).download_urls
    for url in urls.values():
        assert (await world.http.get(url)).status_code == 200
    world.stop()
    await world.start(BRIGHTRUN_KEEP_RUN_DAYS=1e-9)

    async def removed() -> bool:
        return not world.folder(fetched).exists()

    await eventually(removed)
    assert world.folder(unfetched).exists()
    assert world.folder(live).exists()
    assert await world.metric("brightrun_cluster_unfetched_runs") == 1
    assert await world.metric('brightrun_cluster_removed_bytes_total{part="run"}') > 0
    assert (await world.http.get(f"/training/artifacts/{fetched}")).json()["code"] == "removed"
    assert (await world.http.get(httpx.URL(urls["adapter_config.json"]).raw_path.decode())).status_code == 410
    assert (await world.status(fetched)).status == "completed"


async def test_a_disk_that_fills_up_loses_datasets_and_checkpoints_first(world: World) -> None:
    await world.start()
    given = RunInput(url=world.outside.add_dataset(b"{}"))
    adapter = [AdapterInput(name="adapter_config.json", url=given.url)]
    run_id = await world.submit(validation=given, adapter=adapter)
    await world.reaches(run_id, "completed")
    world.stop()
    folder = world.folder(run_id)
    gone = [folder / name for name in ("data.jsonl", "validation.jsonl", "init_adapter", "checkpoints")]
    assert all(path.exists() for path in gone)
    await world.start(BRIGHTRUN_KEEP_FREE_BYTES=HUGE)

    async def spared() -> bool:
        return not any(path.exists() for path in gone)

    await eventually(spared)
    assert (folder / "adapter" / "adapter_model.safetensors").exists()
