"""Training as on a GPU in bfloat16, with gradient checkpointing, on a CPU; half_precision.py says what is pretended."""

import json
from pathlib import Path
from typing import Any

import pytest

from brightrun.contracts.reports import REPORT
from tests.trainer.runs import Outcome, Trainer, preferences, run_folder

SCRIPT = Path(__file__).with_name("half_precision.py")
EARLIER = "0198f2c4-7d3a-7c52-9d55-0a1b2c3d4e5f"
STEPS, HALFWAY = 10, 5
WEIGHTS = "adapter/adapter_model.safetensors"


class Ran:
    """A run that is over: what it reported, what was seen of its numbers, and its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outcome = Outcome([REPORT.validate_json(line) for line in (folder / "reports").open()], 0)
        self.seen: dict[str, Any] = json.loads((folder / "seen").read_text())

    @property
    def losses(self) -> list[float]:
        return [loss for loss in self.outcome.losses if loss is not None]

    @property
    def weights(self) -> bytes:
        return (self.folder / WEIGHTS).read_bytes()


@pytest.fixture(scope="session")
def ran(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """All runs, one after the other in one go."""
    root = tmp_path_factory.mktemp("half")
    asked: list[dict[str, Any]] = []

    def add(name: str, *, spec: dict[str, Any], data: str | None = None, examples: int = 48, **how: Any) -> None:
        run_folder(root / name, data=data, examples=examples, **{"max_length": 64, **spec})
        asked.append({"folder": str(root / name), "dtype": "bfloat16", **how})

    whole = {"max_steps": STEPS, "eval_steps": STEPS, "save_steps": HALFWAY}
    few = 16  # of which none is held out
    checkpoint = f"checkpoints/checkpoint-{HALFWAY}"
    add("single", spec=whole, dtype="float32")
    add("half", spec=whole)
    add("resumed", spec=whole, options=["--resume"], given={checkpoint: str(root / "half" / checkpoint)})
    add("preferring", spec={"method": "dpo", "dropout": 0, "max_steps": 6, "eval_steps": 6}, data=preferences())
    add("packed", spec={"max_steps": 2, "packing": True}, examples=few)
    earlier = {"init_adapter": str(root / "half" / "adapter")}
    # The rate of the first step is 0 where it warms up, so that a single step changes nothing.
    begun = {"max_steps": 1, "warmup_steps": 1, "init_from": EARLIER}
    add("begun", spec=begun, examples=few, quantized=True, given=earlier)
    printed = trainer.call(str(SCRIPT), *map(json.dumps, asked))
    assert printed.returncode == 0, printed.stderr
    return {path.name: Ran(path) for path in root.iterdir()}


def test_the_frozen_weights_are_half_and_the_adapter_is_not(ran: dict[str, Ran]) -> None:
    seen = ran["half"].seen
    assert (seen["frozen"], seen["trained"]) == (["torch.bfloat16"], ["torch.float32"])
    assert seen["products"] == ["torch.bfloat16"]  # although of weights in float32: that is autocast


def test_layers_compute_again_on_the_way_back_instead_of_being_kept(ran: dict[str, Ran]) -> None:
    assert ran["half"].seen["computed"] == [2 * STEPS]
    assert ran["single"].seen["computed"] == [STEPS]


def test_it_learns_what_full_precision_learns(ran: dict[str, Ran]) -> None:
    half, single = ran["half"], ran["single"]
    assert len(half.losses) == STEPS
    assert half.losses != single.losses
    assert half.losses == pytest.approx(single.losses, abs=0.01)


def test_base_and_adapter_are_compared_as_in_full_precision(ran: dict[str, Ran]) -> None:
    half, single = (ran[name].outcome.finished.metadata for name in ("half", "single"))
    assert half["comparison"]["adapter_loss"] < half["comparison"]["base_loss"] - 0.1
    for name in ("base_loss", "adapter_loss"):
        assert half["comparison"][name] == pytest.approx(single["comparison"][name], abs=0.01)
    assert all(sample["base"] and sample["adapter"] for sample in half["samples"])


def test_the_delivered_adapter_is_in_full_precision(ran: dict[str, Ran]) -> None:
    weights = ran["half"].weights
    header = json.loads(weights[8 : 8 + int.from_bytes(weights[:8], "little")])
    assert {tensor["dtype"] for name, tensor in header.items() if name != "__metadata__"} == {"F32"}


def test_going_on_from_a_checkpoint_has_the_same_curve(ran: dict[str, Ran]) -> None:
    assert ran["resumed"].losses == ran["half"].losses[HALFWAY:]
    assert ran["resumed"].weights == ran["half"].weights


def test_dpo_learns_which_answer_is_preferred(ran: dict[str, Ran]) -> None:
    preferring = ran["preferring"]
    assert preferring.losses[0] == pytest.approx(0.6931, abs=1e-3)
    assert preferring.losses[-1] < 0.5
    assert preferring.outcome.finished.metadata["comparison"]["reward_accuracy"] > 0.9
    assert preferring.seen["computed"] == [2 * len(preferring.losses)]


def test_packed_examples_are_told_apart(ran: dict[str, Ran]) -> None:
    assert len(ran["packed"].losses) == 2
    assert ran["packed"].seen["products"] == ["torch.bfloat16"]


def test_an_earlier_adapter_is_not_rounded_where_the_model_is_quantized(ran: dict[str, Ran]) -> None:
    assert ran["begun"].seen["trained"] == ["torch.float32"]
    assert ran["begun"].weights == ran["half"].weights
