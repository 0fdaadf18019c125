"""`held_memory.py CASES`: the peak memory of the tensors of a LoRA training step; needs no GPU.

CASES is JSON: `[{"spec": …, "shape": …}, …]`; prints a list of bytes. Network, adapter and scored head are those of
Transformers, PEFT and TRL, in half precision with gradient checkpointing as on a GPU. The tensors have shapes and
lifetimes, but no storage. TRL's Triton kernels work in place, take no memory, and are left out.
"""

import json
import sys
import weakref
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import LlamaConfig, LlamaForCausalLM
from trl.kernels import chunked_logprob
from trl.trainer.utils import add_fused_lm_head

from brightrun.contracts.shapes import ModelShape
from brightrun.contracts.training import TrainingSpec
from brightrun_trainer.model.base_model import lora_config


class Held(TorchDispatchMode):
    """Counts the bytes of all live tensors, and their maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        return made

    def _add(self, storage: Any) -> None:
        key = storage._cdata
        if key not in self._known:
            self._known[key] = storage.nbytes()
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        self.now -= self._known.pop(key)


def peak(spec: TrainingSpec, shape: ModelShape) -> int:
    """The peak of the second of two steps, when the optimizer's moments exist."""
    with torch.device("meta"):
        model = network(spec, shape)
    with FakeTensorMode(allow_non_fake_inputs=True), Held() as held:
        give_lifetimes(model)
        model.gradient_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
        model.enable_input_require_grads()
        model.train()
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, foreach=False)
        ids = torch.zeros((spec.batch_size, spec.max_length), dtype=torch.long)
        for _ in range(2):
            held.peak = held.now
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = -model(input_ids=ids, labels=ids, fused_lm_head=True).log_probs.sum()
            loss.backward()
            del loss
            optimizer.step()
            optimizer.zero_grad()
    return held.peak


def network(spec: TrainingSpec, shape: ModelShape) -> PeftModel:
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.attention_heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_size,
        max_position_embeddings=shape.context,
        tie_word_embeddings=False,
    )
    base = LlamaForCausalLM(config).to(torch.bfloat16)
    add_fused_lm_head(base, outputs=("log_probs", "entropy", "is_top1"))
    return get_peft_model(base, lora_config(spec))


def give_lifetimes(model: PeftModel) -> None:
    """Replace the meta device's tensors by counted ones."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                data = torch.empty(parameter.shape, dtype=parameter.dtype)
                module._parameters[name] = torch.nn.Parameter(data, requires_grad=parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)


def _as_on_a_gpu() -> None:
    nothing: Any = lambda *_, **__: None  # noqa: E731
    chunked_logprob._forward_tile = chunked_logprob._backward_tile = chunked_logprob._addmm_fp32 = nothing
    torch.nn.functional.dropout = lambda input, p=0.5, training=True, inplace=False: (  # noqa: A006
        torch.ops.aten.native_dropout(input, p, True)[0] if training and p else input
    )


if __name__ == "__main__":
    _as_on_a_gpu()
    cases = [(TrainingSpec(**case["spec"]), ModelShape(**case["shape"])) for case in json.loads(sys.argv[1])]
    print(json.dumps([peak(*case) for case in cases]))
