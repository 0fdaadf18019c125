"""Ctrl-C in the middle of a job, and a second start."""

from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from brightrun.local.settings import LocalSettings
from tests.flows.audit import audit
from tests.flows.house import follow, open_house, running_for_a_while, stored, submit


def test_a_second_start_continues_the_job_where_it_was(settings: LocalSettings) -> None:
    with TemporaryDirectory(prefix="brightrun-flows-") as folder:
        home = Path(folder)
        with open_house(home, settings) as house:
            user = house.new_user()
            job = submit(user, user.upload_dataset(house.sample(40)), max_steps=60, batch_size=4)
            follow(user, job["id"], running_for_a_while)
        assert _processes_of(home) == []
        with open_house(home, settings) as house:
            audit(house, user, follow(user, job["id"], stored))
            steps = house.emitted_steps(job["id"])
            assert max(steps) == 60
            assert len(steps) < 2 * 60, "it went on from a checkpoint"


def _processes_of(home: Path) -> list[str]:
    """Whatever still runs and names the installation's folder."""
    return [line for process in psutil.process_iter() if str(home) in (line := " ".join(_command_line(process)))]


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
