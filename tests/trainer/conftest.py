import os
import subprocess
from pathlib import Path

import pytest

from tests.trainer.runs import REPOSITORY, Outcome, Trainer, run_folder


@pytest.fixture(scope="session")
def trainer() -> Trainer:
    """The trainer's environment with the tiny base model, built once and kept in the repository's cache."""
    python = Path(os.environ.get("BRIGHTRUN_TRAINER_PYTHON", REPOSITORY / ".trainer-venv" / "bin" / "python"))
    if not python.exists():
        pytest.fail(f"the trainer's environment is missing ({python}): run `make trainer`", pytrace=False)
    models = REPOSITORY / ".cache" / "models"
    subprocess.run([python, "-m", "brightrun_trainer.tiny", models / "tiny"], check=True, timeout=300)
    return Trainer(python, models)


@pytest.fixture(scope="session")
def finished_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folder(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture(scope="session")
def finished(trainer: Trainer, finished_folder: Path) -> Outcome:
    """A whole training that nobody disturbed."""
    return trainer.run(finished_folder)
