"""Would PEFT and vLLM load an adapter? Asked of a spec before its training, and of the written files after it.

The rules are vLLM's `PEFTHelper` and `LoRAConfig` (0.6 to 0.11) and PEFT's own loader; what vLLM needs is said as
options of its command.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from brightrun.contracts.training import TrainingSpec
from brightrun.contracts.values import Value

Engine = Literal["peft", "vllm"]
Level = Literal["error", "warning"]

VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What `--max-lora-rank` takes in every version; newer ones also take 1."""
VLLM_DEFAULT_RANK = 16
VLLM_MODULES = frozenset(
    (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "qkv_proj",
        "out_proj",
        "query_key_value",
        "dense",
        "gate_proj",
        "up_proj",
        "down_proj",
        "gate_up_proj",
        "fc1",
        "fc2",
        "c_attn",
        "c_proj",
        "c_fc",
        "w1",
        "w2",
        "w3",
        "wqkv",
        "wo",
        "dense_h_to_4h",
        "dense_4h_to_h",
        "in_proj",
    )
)
"""Linear modules that vLLM's models have under these names, or pack into others."""
VLLM_EMBEDDINGS = frozenset({"embed_tokens", "lm_head"})

LORA_TENSOR = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])\.weight")


class Finding(Value):
    """Something about an adapter that an engine minds.

    An `error` keeps it from being loaded, or from working as trained; a `warning` names what to see to.
    """

    engine: Engine
    level: Level
    code: str
    message: str


class Serving(Value):
    """What serves the adapter: `vllm_options` are what vLLM must be started with to load it, beside `--enable-lora`."""

    peft: bool
    vllm: bool
    vllm_options: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


class Adapter(Value):
    """What of an adapter decides whether it is loaded. `pattern`: some modules have a rank or alpha of their own."""

    rank: int
    target_modules: tuple[str, ...] = ()
    modules_to_save: tuple[str, ...] = ()
    bias: str = "none"
    dora: bool = False
    pattern: bool = False
    base_model: str = ""
    quantized: bool = False


def check_servability(spec: TrainingSpec) -> Serving:
    """What can be said of an adapter before it is trained."""
    targets = () if isinstance(spec.target_modules, str) else spec.target_modules
    return evaluate(
        Adapter(
            rank=spec.rank,
            target_modules=targets,
            base_model=spec.base_model,
            quantized=spec.quantization != "none",
        )
    )


def inspect(config: Mapping[str, Any], tensors: Mapping[str, Sequence[int]], quantized: bool = False) -> Serving:
    """What the files of an adapter are good for.

    `config` is its adapter_config.json, `tensors` the shapes in adapter_model.safetensors by name.
    """
    listed = config.get("target_modules") or ()
    adapter = Adapter(
        rank=int(config.get("r") or 0),
        target_modules=() if isinstance(listed, str) else tuple(sorted(listed)),
        modules_to_save=tuple(config.get("modules_to_save") or ()),
        bias=str(config.get("bias") or "none"),
        dora=bool(config.get("use_dora")),
        pattern=bool(config.get("rank_pattern") or config.get("alpha_pattern")),
        base_model=str(config.get("base_model_name_or_path") or ""),
        quantized=quantized,
    )
    return evaluate(adapter, (*_broken_files(config, adapter, tensors),))


def evaluate(adapter: Adapter, known: Sequence[Finding] = ()) -> Serving:
    """The findings on an adapter, after those that are `known`, and the engines that they leave."""
    findings = (*known, *_vllm_errors(adapter), *_warnings(adapter))
    broken = {finding.engine for finding in findings if finding.level == "error"}
    vllm = not broken
    return Serving(
        peft="peft" not in broken,
        vllm=vllm,
        vllm_options=_vllm_options(adapter) if vllm else (),
        findings=findings,
    )


def _vllm_options(adapter: Adapter) -> tuple[str, ...]:
    largest = next(rank for rank in VLLM_RANKS if rank >= adapter.rank)
    return () if largest <= VLLM_DEFAULT_RANK else ("--max-lora-rank", str(largest))


def _vllm_errors(adapter: Adapter) -> Iterator[Finding]:
    def error(code: str, message: str) -> Finding:
        return Finding(engine="vllm", level="error", code=code, message=message)

    if adapter.rank > VLLM_RANKS[-1]:
        yield error("vllm_rank", f"vLLM takes ranks up to {VLLM_RANKS[-1]}, this one is {adapter.rank}.")
    if adapter.modules_to_save:
        saved = ", ".join(adapter.modules_to_save)
        yield error("vllm_modules_to_save", f"vLLM takes no whole modules beside LoRA, and this saves {saved}.")
    if adapter.bias != "none":
        yield error("vllm_bias", f"vLLM takes no trained biases, and this trains them ({adapter.bias}).")
    if adapter.dora:
        yield error("vllm_dora", "vLLM does not do DoRA; merge the adapter into its base model to serve it.")
    if adapter.pattern:
        yield error("vllm_pattern", "vLLM scales all modules alike, and here some have a rank or alpha of their own.")


def _warnings(adapter: Adapter) -> Iterator[Finding]:
    def warning(code: str, message: str) -> Finding:
        return Finding(engine="vllm", level="warning", code=code, message=message)

    if VLLM_DEFAULT_RANK < adapter.rank <= VLLM_RANKS[-1]:
        options = " ".join(_vllm_options(adapter))
        yield warning("vllm_rank_option", f"vLLM takes rank {adapter.rank} only when it is started with {options}.")
    if embeddings := VLLM_EMBEDDINGS & set(adapter.target_modules):
        named = ", ".join(sorted(embeddings))
        yield warning("vllm_embeddings", f"Whether vLLM takes LoRA on {named} depends on its version and the model.")
    if unknown := set(adapter.target_modules) - VLLM_MODULES - VLLM_EMBEDDINGS:
        named = ", ".join(sorted(unknown))
        yield warning("vllm_unknown_modules", f"vLLM may not know the modules {named} of this model under these names.")
    if adapter.quantized:
        yield warning(
            "quantized_base",
            "It is trained on a base model quantized to nf4: served on the unquantized one, answers differ slightly.",
        )
    if adapter.base_model and "/" not in adapter.base_model:
        yield warning(
            "base_model_local",
            f"{adapter.base_model} is a folder of this installation, not a model of a hub: serve it from that folder.",
        )


def _broken_files(
    config: Mapping[str, Any], adapter: Adapter, tensors: Mapping[str, Sequence[int]]
) -> Iterator[Finding]:
    def error(code: str, message: str, engine: Engine = "peft") -> Finding:
        return Finding(engine=engine, level="error", code=code, message=message)

    if config.get("peft_type") != "LORA":
        yield error("peft_type", f"adapter_config.json tells of a {config.get('peft_type')}, not of a LORA.")
    pairs: dict[str, dict[str, Sequence[int]]] = {}
    others: list[str] = []
    for name, shape in tensors.items():
        if match := LORA_TENSOR.fullmatch(name):
            pairs.setdefault(match["module"], {})[match["side"]] = shape
        else:
            others.append(name)
    if not pairs:
        yield error("no_lora_tensors", "adapter_model.safetensors holds no LoRA weights.")
    if halves := sorted(module for module, sides in pairs.items() if len(sides) < len("AB")):
        yield error("unpaired_tensors", f"Of {halves[0]} and {len(halves) - 1} others only A or only B is there.")
    wrong = sorted(module for module, sides in pairs.items() if len(sides) == len("AB") and not _fits(sides, adapter))
    if wrong:
        yield error("tensor_shapes", f"The weights of {wrong[0]} do not have the rank {adapter.rank} of the config.")
    if others and not (adapter.modules_to_save or adapter.dora or adapter.bias != "none"):
        yield error("other_tensors", f"vLLM takes nothing but LoRA weights, and {others[0]} is none.", "vllm")


def _fits(sides: Mapping[str, Sequence[int]], adapter: Adapter) -> bool:
    ranks = {sides["A"][0], sides["B"][-1]}
    return len(ranks) == 1 and (adapter.pattern or ranks == {adapter.rank})
