"""The service or a trainer ends at any moment."""

import pytest

from brightrun.contracts.cluster_api import RunEvent
from tests.services.cluster.service import ClusterService
from tests.waiting import eventually

pytestmark = pytest.mark.slow


async def history(service: ClusterService) -> list[RunEvent]:
    events: list[RunEvent] = []
    while page := (await service.events(events[-1].cursor if events else 0)).events:
        events.extend(page)
    return events


async def assert_reported_once(service: ClusterService, steps: int) -> None:
    """Each report of the trainer is in exactly one event."""
    events = await history(service)
    assert [point.step for event in events for point in event.points] == list(range(1, steps + 1))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert len({event.event_id for event in events}) == len(events)
    assert sum(event.run.status == "completed" for event in events) == 1


async def test_a_trainer_outlives_the_service_and_every_report_is_one_event(service: ClusterService) -> None:
    await service.start_process()
    run_id = await service.submit({"steps": 600, "pace": 0.005, "hold_at": 600})
    for step in (40, 150, 300):
        await service.reaches_step(run_id, step)
        service.kill()
        assert len(service.trainers(run_id)) == 1
        await service.start_process()
    service.release(run_id)
    await service.reaches(run_id, "completed")
    await assert_reported_once(service, 600)
    assert (service.folder(run_id) / "starts").stat().st_size == 1


@pytest.mark.parametrize("point", ["cluster.launch.recorded", "cluster.reports.read", "cluster.reports.recorded"])
async def test_death_at_a_failpoint_neither_loses_nor_repeats_reports(service: ClusterService, point: str) -> None:
    await service.start_process({"FAILPOINT": point})
    run_id = await service.submit({"steps": 5})
    await eventually(died(service))
    await service.start()
    await service.reaches(run_id, "completed")
    await assert_reported_once(service, 5)
    assert (service.folder(run_id) / "starts").stat().st_size == 1


async def test_a_trainer_that_died_while_the_service_was_down_is_resumed(service: ClusterService) -> None:
    await service.start_process()
    run_id = await service.submit({"steps": 6, "hold_at": 4})
    await service.reaches_step(run_id, 4)
    service.kill()
    for trainer in service.trainers(run_id):
        trainer.kill()
    service.release(run_id)
    await service.start()
    await service.reaches(run_id, "completed")
    await assert_reported_once(service, 6)
    assert (service.folder(run_id) / "starts").stat().st_size == 2


async def test_a_trainer_that_finished_while_the_service_was_down_is_not_started_again(service: ClusterService) -> None:
    await service.start_process()
    run_id = await service.submit({"steps": 6, "hold_at": 4})
    await service.reaches_step(run_id, 4)
    service.kill()
    service.release(run_id)
    await eventually(gone(service, run_id))
    await service.start()
    await service.reaches(run_id, "completed")
    await assert_reported_once(service, 6)


async def test_a_graceful_stop_interrupts_a_run_without_ending_it(service: ClusterService) -> None:
    await service.start(max_restarts=0)
    run_id = await service.submit({"steps": 8, "hold_at": 4})
    started = (await service.reaches(run_id, "running")).started_at
    await service.reaches_step(run_id, 4)
    await service.stop()
    assert not service.trainers(run_id)
    service.release(run_id)
    await service.start()
    completed = await service.reaches(run_id, "completed")
    assert completed.started_at == started
    assert {event.run.status for event in await history(service)} == {"initializing", "running", "completed"}
    assert "interrupted" in {event.run.stage for event in await history(service)}
    await assert_reported_once(service, 8)


async def test_a_cancel_survives_the_death_of_the_service(service: ClusterService) -> None:
    await service.start_process(stop_grace_seconds=0.5)
    run_id = await service.submit({"ignore_stop": True, "steps": 10_000, "pace": 0.01})
    await service.reaches_step(run_id, 1)
    await service.cancel(run_id)
    service.kill()
    await service.start()
    await service.reaches(run_id, "cancelled", within=5)
    assert not service.trainers(run_id)


async def test_a_simulation_is_resumed_after_the_death_of_the_service(service: ClusterService) -> None:
    await service.start_process(executor="simulated", simulated_steps_per_second=300)
    run_id = await service.submit({}, hyperparameters={"max_steps": 900})
    await service.reaches_step(run_id, 100)
    service.kill()
    await service.start()
    await service.reaches(run_id, "completed")
    steps = [point.step for event in await history(service) for point in event.points]
    assert set(steps) == set(range(1, 901))


async def test_one_home_serves_one_service(service: ClusterService) -> None:
    await service.start()
    assert service.spawn().process.wait(timeout=20) == 1
    assert "another cluster service runs in" in service.log.read_text()


@pytest.mark.parametrize("setting", ["trainer_python", "models"])
async def test_a_missing_trainer_or_model_folder_fails_the_start(service: ClusterService, setting: str) -> None:
    service.settings = {setting: service.home / "missing"}
    assert service.spawn().process.wait(timeout=20) == 1
    last = service.log.read_text().splitlines()[-1]
    assert last.startswith(f"cluster: BRIGHTRUN_{setting.upper()} is {service.home / 'missing'}: ")


def died(service: ClusterService):
    async def check() -> bool:
        return service.host is not None and service.host.failure is not None

    return check


def gone(service: ClusterService, run_id: str):
    async def check() -> bool:
        return not service.trainers(run_id)

    return check
