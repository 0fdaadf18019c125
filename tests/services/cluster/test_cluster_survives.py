"""What holds when the service or a trainer is ended at any moment."""

import pytest

from brightrun.contracts.cluster_api import RunEvent
from tests.services.cluster.world import World
from tests.waiting import eventually


async def history(world: World) -> list[RunEvent]:
    events: list[RunEvent] = []
    while page := (await world.events(events[-1].cursor if events else 0)).events:
        events.extend(page)
    return events


async def assert_told_once(world: World, steps: int) -> None:
    """Each report of the trainer is in exactly one event."""
    events = await history(world)
    assert [point.step for event in events for point in event.points] == list(range(1, steps + 1))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert len({event.event_id for event in events}) == len(events)
    assert sum(event.run.status == "completed" for event in events) == 1


async def test_a_trainer_outlives_the_service_and_every_report_is_told_once(world: World) -> None:
    await world.start()
    run_id = await world.submit({"steps": 600, "pace": 0.005, "hold_at": 600})
    for step in (40, 150, 300):
        await world.reaches_step(run_id, step)
        world.kill()
        assert len(world.trainers(run_id)) == 1
        await world.start()
    world.let_go(run_id)
    await world.reaches(run_id, "completed")
    await assert_told_once(world, 600)
    assert (world.folder(run_id) / "starts").stat().st_size == 1


@pytest.mark.parametrize("point", ["cluster.launch.recorded", "cluster.reports.read", "cluster.reports.recorded"])
async def test_death_at_a_failpoint_loses_and_doubles_nothing(world: World, point: str) -> None:
    await world.start(FAILPOINT=point)
    run_id = await world.submit({"steps": 5})
    assert world.process
    await eventually(died(world))
    await world.start(FAILPOINT="")
    await world.reaches(run_id, "completed")
    await assert_told_once(world, 5)
    assert (world.folder(run_id) / "starts").stat().st_size == 1


async def test_a_trainer_that_died_while_the_service_was_down_is_resumed(world: World) -> None:
    await world.start()
    run_id = await world.submit({"steps": 6, "hold_at": 4})
    await world.reaches_step(run_id, 4)
    world.kill()
    for trainer in world.trainers(run_id):
        trainer.kill()
    world.let_go(run_id)
    await world.start()
    await world.reaches(run_id, "completed")
    await assert_told_once(world, 6)
    assert (world.folder(run_id) / "starts").stat().st_size == 2


async def test_a_trainer_that_finished_while_the_service_was_down_is_not_started_again(world: World) -> None:
    await world.start()
    run_id = await world.submit({"steps": 6, "hold_at": 4})
    await world.reaches_step(run_id, 4)
    world.kill()
    world.let_go(run_id)
    await eventually(gone(world, run_id))
    await world.start()
    await world.reaches(run_id, "completed")
    await assert_told_once(world, 6)


async def test_a_graceful_stop_interrupts_a_run_without_ending_it(world: World) -> None:
    await world.start(BRIGHTRUN_MAX_RESTARTS=0)
    run_id = await world.submit({"steps": 8, "hold_at": 4})
    started = (await world.reaches(run_id, "running")).started_at
    await world.reaches_step(run_id, 4)
    world.stop()
    assert not world.trainers(run_id)
    world.let_go(run_id)
    await world.start()
    completed = await world.reaches(run_id, "completed")
    assert completed.started_at == started
    assert {event.run.status for event in await history(world)} == {"initializing", "running", "completed"}
    assert "interrupted" in {event.run.stage for event in await history(world)}
    await assert_told_once(world, 8)


async def test_a_cancel_survives_the_death_of_the_service(world: World) -> None:
    await world.start(BRIGHTRUN_STOP_GRACE_SECONDS=0.5)
    run_id = await world.submit({"ignore_stop": True, "steps": 10_000, "pace": 0.01})
    await world.reaches_step(run_id, 1)
    await world.cancel(run_id)
    world.kill()
    await world.start()
    await world.reaches(run_id, "cancelled", within=5)
    assert not world.trainers(run_id)


async def test_a_simulation_is_resumed_after_the_death_of_the_service(world: World) -> None:
    await world.start(BRIGHTRUN_EXECUTOR="simulated", BRIGHTRUN_SIMULATED_STEPS_PER_SECOND=300)
    run_id = await world.submit({}, hyperparameters={"max_steps": 900})
    await world.reaches_step(run_id, 100)
    world.kill()
    await world.start()
    await world.reaches(run_id, "completed")
    steps = [point.step for event in await history(world) for point in event.points]
    assert set(steps) == set(range(1, 901))


async def test_one_home_serves_one_service(world: World) -> None:
    await world.start()
    assert world.spawn(1).wait(timeout=20) == 1
    assert "another cluster service runs in" in (world.home / "service.log").read_text()


@pytest.mark.parametrize("setting", ["BRIGHTRUN_TRAINER_PYTHON", "BRIGHTRUN_MODELS"])
async def test_a_missing_trainer_or_model_folder_is_said_at_the_start(world: World, setting: str) -> None:
    world.settings = {setting: world.home / "missing"}
    assert world.spawn(1).wait(timeout=20) == 1
    last = (world.home / "service.log").read_text().splitlines()[-1]
    assert last.startswith(f"cluster: {setting} is {world.home / 'missing'}: ")


def died(world: World):
    async def check() -> bool:
        return world.process is not None and world.process.poll() is not None

    return check


def gone(world: World, run_id: str):
    async def check() -> bool:
        return not world.trainers(run_id)

    return check
