"""`counted_operations.py CASES`: the floating-point operations of a training step, as PyTorch counts them.

CASES is JSON: `[{"spec": …, "shape": …, "device": "cuda" or "cpu"}, …]`; prints a list of operations per token.
Network, adapter, scored head and DPO's reference are those of Transformers, PEFT and TRL, on tensors without storage.
One layer and two are counted; each further one adds the same.
"""

import json
import sys
from typing import Any

import torch
from held_memory import give_lifetimes, network
from peft import PeftModel
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode, mm_flop, sdpa_backward_flop_count, sdpa_flop_count
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from brightrun.contracts.shapes import ModelShape
from brightrun.contracts.training import TrainingSpec

ATEN = torch.ops.aten
UNKNOWN_TO_PYTORCH = {
    ATEN.addmm_: lambda _, a, b, **__: mm_flop(a, b),
    ATEN._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v) // 2,
    ATEN._scaled_dot_product_flash_attention_for_cpu_backward: lambda grad, q, k, v, *_, **__: (
        sdpa_backward_flop_count(grad, q, k, v) // 2
    ),
}
"""Operations that its counter ignores: the head's gradient, which TRL adds in place, and the CPU's attention kernel.

Half of the kernel's products count: attention is causal, which PyTorch's counter does not know.
"""


def counted(spec: TrainingSpec, shape: ModelShape, device: str) -> float:
    """Operations for a token of a training with all its layers."""
    one, two = (_step(spec, shape.model_copy(update={"layers": layers}), device) for layers in (1, 2))
    return one + (shape.layers - 1) * (two - one)


def _step(spec: TrainingSpec, shape: ModelShape, device: str) -> float:
    """Forward and backward of an example of `max_length` that is all learned; with DPO of two, and its reference."""
    with torch.device("meta"):
        model = network(spec, shape)
    model.train()
    if device == "cuda":
        model.gradient_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
        model.enable_input_require_grads()
    counter = FlopCounterMode(display=False, custom_mapping=UNKNOWN_TO_PYTORCH)
    with FakeTensorMode(allow_non_fake_inputs=True), counter:
        give_lifetimes(model)
        ids = torch.zeros((2 if spec.method == "dpo" else 1, spec.max_length), dtype=torch.long)
        _score(model, ids, device).sum().backward()
        if spec.method == "dpo":
            with torch.no_grad(), disable_gradient_checkpointing(model), use_adapter(model, None):
                _score(model, ids, device)
    return counter.get_total_flops() / ids.numel()


def _score(model: PeftModel, ids: torch.Tensor, device: str) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=device == "cuda"):
        scored: torch.Tensor = model(input_ids=ids, labels=ids, fused_lm_head=True).log_probs
    return scored


if __name__ == "__main__":
    requested: list[dict[str, Any]] = json.loads(sys.argv[1])
    cases = [(TrainingSpec(**case["spec"]), ModelShape(**case["shape"]), case["device"]) for case in requested]
    print(json.dumps([counted(*case) for case in cases]))
