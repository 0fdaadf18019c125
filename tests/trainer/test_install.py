import re
import subprocess
import sys
from pathlib import Path

from tests.trainer.runs import REPOSITORY

TRAINER = REPOSITORY / "trainer"


def test_every_requirement_of_the_trainer_is_pinned() -> None:
    lists = ("requirements.txt", "requirements-cuda.txt", "torch.txt")
    lines = [line for name in lists for line in (TRAINER / name).read_text().split()]
    assert all(re.fullmatch(r"[a-z0-9._-]+==[\w.]+", line) for line in lines)


def test_the_installer_leaves_a_folder_with_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    command = [sys.executable, str(TRAINER / "install.py"), str(tmp_path)]
    installed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert installed.returncode == 1
    assert installed.stderr.startswith("trainer environment: ")
    assert installed.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
