"""The estimate of a training's operations against PyTorch's count for the real network, without a GPU.

This does not show how many operations a GPU does in a second: `UTILIZATION` is taken from others' measurements.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from brightrun.contracts.memory import Device
from brightrun.contracts.shapes import KNOWN, ModelShape
from brightrun.contracts.speed import operations
from brightrun.contracts.training import TrainingSpec
from tests.trainer.runs import Trainer

pytestmark = pytest.mark.xdist_group("trainer")

COUNTED = Path(__file__).with_name("counted_operations.py")
LLAMA_8B = KNOWN["meta-llama/Llama-3.1-8B-Instruct"]
QWEN = KNOWN["Qwen/Qwen2.5-0.5B-Instruct"]
SMOL = KNOWN["HuggingFaceTB/SmolLM2-135M-Instruct"]
QUERIES_AND_VALUES = ["q_proj", "v_proj"]

CASES: list[tuple[dict[str, Any], ModelShape, Device]] = [
    ({"max_length": 512, "rank": 8}, LLAMA_8B, "cuda"),
    ({"max_length": 4096, "rank": 64}, LLAMA_8B, "cuda"),
    ({"max_length": 512, "target_modules": QUERIES_AND_VALUES}, LLAMA_8B, "cuda"),
    ({"max_length": 512, "method": "dpo"}, LLAMA_8B, "cuda"),
    ({"max_length": 512, "rank": 64}, QWEN, "cuda"),
    ({"max_length": 4096, "rank": 8, "dropout": 0}, QWEN, "cuda"),
    ({"max_length": 4096, "target_modules": QUERIES_AND_VALUES}, SMOL, "cuda"),
    ({"max_length": 1024, "target_modules": ["down_proj"]}, SMOL, "cuda"),
    ({"max_length": 1024}, KNOWN["tiny"], "cpu"),
    ({"max_length": 2048, "rank": 64}, KNOWN["small"], "cpu"),
    ({"max_length": 512, "target_modules": QUERIES_AND_VALUES}, KNOWN["small"], "cpu"),
    ({"max_length": 512, "method": "dpo"}, KNOWN["small"], "cpu"),
]


def test_the_estimate_of_operations_is_right_within_a_hundredth(fresh_trainer: Trainer) -> None:
    """In a fresh process, because the trainer's modules change how TRL scores on a CPU."""
    cases = [{"spec": spec, "shape": shape.model_dump(), "device": device} for spec, shape, device in CASES]
    called = fresh_trainer.call(str(COUNTED), json.dumps(cases))
    assert called.returncode == 0, called.stderr[-3000:]

    for (spec, shape, device), counted in zip(CASES, json.loads(called.stdout), strict=True):
        assert operations(TrainingSpec(**spec), shape, device) == pytest.approx(counted, rel=0.01), (spec, device)
