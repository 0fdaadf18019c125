"""Training as on a GPU in bfloat16, with gradient checkpointing, on a CPU; half_precision.py says what is replaced."""

import json
from pathlib import Path
from typing import Any

import pytest

from brightrun.contracts.reports import REPORT
from tests.trainer.runs import Outcome, Trainer, preferences, run_folder

pytestmark = pytest.mark.xdist_group("trainer")

SCRIPT = Path(__file__).with_name("half_precision.py")
EARLIER = "0198f2c4-7d3a-7c52-9d55-0a1b2c3d4e5f"
STEPS, HALFWAY = 10, 5
WEIGHTS = "adapter/adapter_model.safetensors"


class FinishedRun:
    """What a run reported, what was observed of its numbers, and its folder."""

    def __init__(self, folder: Path, outcome: Outcome) -> None:
        self.folder = folder
        self.outcome = outcome
        self.observed: dict[str, Any] = json.loads((folder / "observed").read_text())

    @property
    def losses(self) -> list[float]:
        return [loss for loss in self.outcome.losses if loss is not None]

    @property
    def weights(self) -> bytes:
        return (self.folder / WEIGHTS).read_bytes()


@pytest.fixture(scope="session")
def runs(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, FinishedRun]:
    """All runs, one after the other."""
    root = tmp_path_factory.mktemp("half")
    finished: dict[str, FinishedRun] = {}

    def run(name: str, *, spec: dict[str, Any], data: str | None = None, examples: int = 48, **options: Any) -> None:
        folder = run_folder(root / name, data=data, examples=examples, **{"max_length": 64, **spec})
        request = {"folder": str(folder), "dtype": "bfloat16", **options}
        called = trainer.call(str(SCRIPT), json.dumps(request))
        assert called.returncode == 0, called.stderr
        outcome = Outcome([REPORT.validate_json(line) for line in called.stdout.splitlines()], called.returncode)
        finished[name] = FinishedRun(folder, outcome)

    whole = {"max_steps": STEPS, "eval_steps": STEPS, "save_steps": HALFWAY}
    few = 16  # of which none is held out
    checkpoint = f"checkpoints/checkpoint-{HALFWAY}"
    run("single", spec=whole, dtype="float32")
    run("half", spec=whole)
    run("resumed", spec=whole, options=["--resume"], copies={checkpoint: str(root / "half" / checkpoint)})
    run("preferences", spec={"method": "dpo", "dropout": 0, "max_steps": 6, "eval_steps": 6}, data=preferences())
    run("packed", spec={"max_steps": 2, "packing": True}, examples=few)
    earlier = {"init_adapter": str(root / "half" / "adapter")}
    # The learning rate of the first warm-up step is 0, so that a single step changes nothing.
    unchanged = {"max_steps": 1, "warmup_steps": 1, "init_from": EARLIER}
    run("quantized", spec=unchanged, examples=few, quantized=True, copies=earlier)
    return finished


def test_only_the_frozen_weights_are_in_half_precision(runs: dict[str, FinishedRun]) -> None:
    observed = runs["half"].observed
    assert (observed["frozen"], observed["trained"]) == (["torch.bfloat16"], ["torch.float32"])
    assert observed["outputs"] == ["torch.bfloat16"]  # although of weights in float32: that is autocast


def test_gradient_checkpointing_computes_each_layer_twice(runs: dict[str, FinishedRun]) -> None:
    assert runs["half"].observed["computations"] == [2 * STEPS]
    assert runs["single"].observed["computations"] == [STEPS]


def test_losses_match_those_in_full_precision(runs: dict[str, FinishedRun]) -> None:
    half, single = runs["half"], runs["single"]
    assert len(half.losses) == STEPS
    assert half.losses != single.losses
    assert half.losses == pytest.approx(single.losses, abs=0.01)


def test_the_comparison_matches_that_in_full_precision(runs: dict[str, FinishedRun]) -> None:
    half, single = (runs[name].outcome.finished.metadata for name in ("half", "single"))
    assert half["comparison"]["adapter_loss"] < half["comparison"]["base_loss"] - 0.1
    for name in ("base_loss", "adapter_loss"):
        assert half["comparison"][name] == pytest.approx(single["comparison"][name], abs=0.01)
    assert all(sample["base"] and sample["adapter"] for sample in half["samples"])


def test_the_delivered_adapter_is_in_full_precision(runs: dict[str, FinishedRun]) -> None:
    weights = runs["half"].weights
    header = json.loads(weights[8 : 8 + int.from_bytes(weights[:8], "little")])
    assert {tensor["dtype"] for name, tensor in header.items() if name != "__metadata__"} == {"F32"}


def test_a_resumed_training_has_the_same_curve(runs: dict[str, FinishedRun]) -> None:
    assert runs["resumed"].losses == runs["half"].losses[HALFWAY:]
    assert runs["resumed"].weights == runs["half"].weights


def test_dpo_learns_which_answer_is_preferred(runs: dict[str, FinishedRun]) -> None:
    preferred = runs["preferences"]
    assert preferred.losses[0] == pytest.approx(0.6931, abs=1e-3)
    assert preferred.losses[-1] < 0.5
    assert preferred.outcome.finished.metadata["comparison"]["reward_accuracy"] > 0.9
    assert preferred.observed["computations"] == [2 * len(preferred.losses)]


def test_packed_examples_are_trained_on(runs: dict[str, FinishedRun]) -> None:
    assert len(runs["packed"].losses) == 2
    assert runs["packed"].observed["outputs"] == ["torch.bfloat16"]


def test_an_earlier_adapter_is_not_rounded_for_a_quantized_model(runs: dict[str, FinishedRun]) -> None:
    assert runs["quantized"].observed["trained"] == ["torch.float32"]
    assert runs["quantized"].weights == runs["half"].weights
