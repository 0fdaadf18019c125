import json
import shutil
from pathlib import Path

import pytest

from tests.trainer.runs import Outcome, Trainer, preferences, run_folder

pytestmark = pytest.mark.xdist_group("trainer")

EARLIER = "0198f2c4-7d3a-7c52-9d55-0a1b2c3d4e5f"


@pytest.fixture(scope="session")
def preferred_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preferred") / "run"
    return run_folder(folder, data=preferences(), method="dpo", max_steps=16, dropout=0)


@pytest.fixture(scope="session")
def preferred(trainer: Trainer, preferred_folder: Path) -> Outcome:
    return trainer.run(preferred_folder)


def test_dpo_learns_which_answer_is_preferred(preferred: Outcome) -> None:
    first, last = preferred.points[0], preferred.points[-1]
    assert first.training_loss == pytest.approx(0.6931, abs=1e-3)  # ln 2: nothing is preferred yet
    assert last.training_loss is not None
    assert last.training_loss < 0.5
    assert last.validation_loss is not None
    assert last.validation_loss < 0.5


def test_dpo_reports_and_delivers_like_sft(preferred: Outcome, preferred_folder: Path) -> None:
    assert [point.step for point in preferred.points] == list(range(1, 17))
    assert all(point.tokens_per_second and point.token_accuracy is not None for point in preferred.points)
    assert preferred.plan.examples + preferred.plan.validation_examples == 40
    metadata = preferred.finished.metadata
    assert metadata["spec"]["beta"] == 0.1
    assert metadata["comparison"]["reward_accuracy"] > 0.9
    held_out = (preferred_folder / "adapter" / "held_out.jsonl").read_text().splitlines()
    assert set(held_out) < set((preferred_folder / "data.jsonl").read_text().splitlines())


def test_dpo_starts_from_an_earlier_adapter_and_resumes_after_a_stop(
    trainer: Trainer, preferred: Outcome, preferred_folder: Path, tmp_path: Path
) -> None:
    """The reference is the earlier adapter, so that the first loss is ln 2 again."""
    folder = run_folder(tmp_path / "run", data=preferences(), method="dpo", max_steps=200, dropout=0, init_from=EARLIER)
    shutil.copytree(preferred_folder / "adapter", folder / "init_adapter")
    running = trainer.start(folder)
    running.stop_after("points")
    stopped = running.outcome()
    assert stopped.points[0].training_loss == pytest.approx(0.6931, abs=1e-3)
    assert stopped.finished.outcome == "stopped"
    (folder / "order").write_text("1 finish")
    delivered = trainer.run(folder, "--resume", "--launch", "1")
    assert delivered.finished.outcome == "completed"
    files = set(delivered.finished.files)
    assert "adapter_model.safetensors" in files
    assert "ref" not in files


def test_conversations_are_rejected_for_dpo(trainer: Trainer, tmp_path: Path) -> None:
    failed = trainer.run(run_folder(tmp_path / "run", method="dpo")).failure
    assert failed.error.code == "data_unreadable"
    assert "line 1: $.input: `input` must be a JSON object with `messages`" in failed.error.message


@pytest.mark.parametrize("output", [[], ["text"], [{"role": "user", "content": "Hi"}]])
def test_an_output_is_one_assistant_message(trainer: Trainer, tmp_path: Path, output: list[object]) -> None:
    example = json.loads(preferences(1)) | {"non_preferred_output": output}
    failed = trainer.run(run_folder(tmp_path / "run", method="dpo", data=json.dumps(example))).failure
    assert failed.error.code == "data_unreadable"
    assert "line 1" in failed.error.message
