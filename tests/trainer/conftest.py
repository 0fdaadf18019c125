import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trainer.models import make_models
from tests.trainer.processes import ForkServer, FreshPython
from tests.trainer.runs import REPOSITORY, Outcome, Trainer, run_folder


@pytest.fixture(scope="session")
def fresh_trainer() -> Trainer:
    """The trainer's environment with the tiny base model; each process starts as it does for a cluster.

    The model is built once and kept in the repository's cache.
    """
    python = Path(os.environ.get("BRIGHTRUN_TRAINER_PYTHON", REPOSITORY / ".trainer-venv" / "bin" / "python"))
    if not python.exists():
        pytest.fail(f"the trainer's environment is missing ({python}): run `make trainer`", pytrace=False)
    models = REPOSITORY / ".cache" / "models"
    subprocess.run([python, "-m", "brightrun_trainer.tiny", models / "tiny"], check=True, timeout=300)
    # One thread: with numbers as small as the tiny model's, two that wait for each other take longer.
    environment = {**os.environ, "BRIGHTRUN_MODELS": str(models), "OMP_NUM_THREADS": "1"}
    return Trainer(python, environment, FreshPython(python))


@pytest.fixture(scope="session")
def trainer(fresh_trainer: Trainer) -> Iterator[Trainer]:
    """The same, with processes forked from one that has imported PyTorch, which saves seconds a start."""
    with ForkServer(fresh_trainer.python, fresh_trainer.environment) as server:
        yield Trainer(fresh_trainer.python, fresh_trainer.environment, server)


@pytest.fixture(scope="session")
def unusual(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """The trainer with unusual base models."""
    models = make_models(Path(trainer.environment["BRIGHTRUN_MODELS"]) / "tiny", tmp_path_factory.mktemp("unusual"))
    return Trainer(trainer.python, trainer.environment | {"BRIGHTRUN_MODELS": str(models)}, trainer.launcher)


@pytest.fixture(scope="session")
def finished_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folder(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture(scope="session")
def finished(trainer: Trainer, finished_folder: Path) -> Outcome:
    """An uninterrupted training."""
    return trainer.run(finished_folder)
