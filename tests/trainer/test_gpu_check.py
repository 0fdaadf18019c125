"""`trainer/gpu_check` in its smallest form, on this machine's CPU: what it can run here, it runs."""

import json
import math
from pathlib import Path

import pytest

from tests.trainer.runs import REPOSITORY, Trainer

pytestmark = [pytest.mark.xdist_group("trainer_gpu_check"), pytest.mark.slow]


def test_the_smallest_form_runs_on_a_cpu(
    fresh_trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.trainer.runs.SECONDS", 560)
    command = [str(REPOSITORY / "trainer" / "gpu_check"), str(tmp_path), "--smallest", "--seconds", "540"]
    called = fresh_trainer.call(*command)
    assert called.returncode == 0, called.stdout + called.stderr
    results = json.loads((tmp_path / "gpu.json").read_text())
    assert results["machine"]["gpu"] is None
    checks = results["checks"]
    for name in ("sft micro", "dpo micro bf16 with checkpointing"):
        assert checks[name]["outcome"] == "completed", checks[name]
        assert checks[name]["tokens_per_second"] > 0
        assert checks[name]["peak_bytes"] > 0
        assert checks[name]["estimated_bytes"] > checks[name]["estimated_tensor_bytes"] > 0
    assert checks["dpo micro bf16 with checkpointing"]["losses"][0] == pytest.approx(math.log(2), abs=1e-3)
    stopped = checks["stop and resume"]
    assert (stopped["stopped"], stopped["outcome"], stopped["largest_difference"]) == ("stopped", "finished", 0)
    assert checks["generate"]["tokens"].keys() == {"base", "adapter"}
