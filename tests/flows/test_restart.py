"""The platform is stopped while a job runs, and started again."""

from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from brightrun.local.settings import LocalSettings
from tests.flows.audit import audit
from tests.flows.live_platform import has_artifact, has_trained_some_steps, start_platform, submit, wait_for_job

pytestmark = pytest.mark.xdist_group("flows-restart")
"""Apart from the other flows, whose platform would idle meanwhile."""


def test_a_second_start_resumes_the_job_from_its_checkpoint(settings: LocalSettings) -> None:
    with TemporaryDirectory(prefix="brightrun-flows-") as folder:
        home = Path(folder)
        with start_platform(home, settings) as platform:
            user = platform.new_user()
            job = submit(user, user.upload_dataset(platform.sample(40)), max_steps=40, batch_size=4)
            wait_for_job(user, job["id"], has_trained_some_steps)
        assert _processes_of(home) == []
        with start_platform(home, settings) as platform:
            audit(platform, user, wait_for_job(user, job["id"], has_artifact))
            steps = platform.emitted_steps(job["id"])
            assert max(steps) == 40
            assert len(steps) < 2 * 40, "it resumed from a checkpoint"


def _processes_of(home: Path) -> list[str]:
    """The command lines of processes that name the installation's folder."""
    return [line for process in psutil.process_iter() if str(home) in (line := " ".join(_command_line(process)))]


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
