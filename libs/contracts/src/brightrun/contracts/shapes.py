"""What a base model's memory and speed depend on: the facts in its configuration."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from brightrun.contracts.values import Value

Size = Annotated[int, Field(strict=True, ge=1, le=10_000_000)]


class ModelShape(Value):
    """A decoder-only transformer; the names of Hugging Face's configurations in our words.

    `context` is the most tokens it takes; `model_type` is as in its configuration, such as `llama`.
    """

    parameters: Annotated[int, Field(strict=True, ge=1, le=10**13)]
    layers: Annotated[int, Field(strict=True, ge=1, le=10_000)]
    hidden_size: Size
    intermediate_size: Size
    vocabulary: Size
    attention_heads: Annotated[int, Field(strict=True, ge=1, le=10_000)]
    kv_heads: Annotated[int, Field(strict=True, ge=1, le=10_000)]
    head_size: Annotated[int, Field(strict=True, ge=1, le=10_000)]
    context: Annotated[int, Field(strict=True, ge=1, le=100_000_000)] | None = None
    model_type: Annotated[str, Field(min_length=1, max_length=64)] | None = None

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of the linear maps in each layer, by their usual names."""
        width, inner = self.hidden_size, self.intermediate_size
        queries, keys = self.attention_heads * self.head_size, self.kv_heads * self.head_size
        return {
            "q_proj": (width, queries),
            "k_proj": (width, keys),
            "v_proj": (width, keys),
            "o_proj": (queries, width),
            "gate_proj": (width, inner),
            "up_proj": (width, inner),
            "down_proj": (inner, width),
        }


def read(config: Mapping[str, Any], parameters: int) -> ModelShape | None:
    """The shape that a model's `config.json` tells; None if it does not tell all of it in the usual words."""
    heads, width = config.get("num_attention_heads"), config.get("hidden_size")
    try:
        return ModelShape(
            parameters=parameters,
            layers=config["num_hidden_layers"],
            hidden_size=config["hidden_size"],
            intermediate_size=config["intermediate_size"],
            vocabulary=config["vocab_size"],
            attention_heads=config["num_attention_heads"],
            kv_heads=config.get("num_key_value_heads") or config["num_attention_heads"],
            head_size=config.get("head_dim") or (width // heads if width and heads else None),
            context=config.get("max_position_embeddings"),
            model_type=config.get("model_type"),
        )
    except (KeyError, TypeError, ValidationError):
        return None


def _known(model_type: str, context: int, *sizes: int) -> ModelShape:
    parameters, layers, hidden, inner, vocabulary, heads, kv_heads, head = sizes
    return ModelShape(
        parameters=parameters,
        layers=layers,
        hidden_size=hidden,
        intermediate_size=inner,
        vocabulary=vocabulary,
        attention_heads=heads,
        kv_heads=kv_heads,
        head_size=head,
        context=context,
        model_type=model_type,
    )


KNOWN: Mapping[str, ModelShape] = {
    "tiny": _known("llama", 2048, 1_049_728, 4, 128, 384, 2048, 4, 2, 32),
    "small": _known("llama", 2048, 7_344_384, 8, 256, 768, 4096, 8, 4, 32),
    "HuggingFaceTB/SmolLM2-135M-Instruct": _known("llama", 8192, 134_515_008, 30, 576, 1536, 49_152, 9, 3, 64),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": _known("llama", 8192, 1_711_376_384, 24, 2048, 8192, 49_152, 32, 32, 64),
    "meta-llama/Llama-3.1-8B-Instruct": _known("llama", 131_072, 8_030_261_248, 32, 4096, 14_336, 128_256, 32, 8, 128),
    "meta-llama/Llama-3.2-1B-Instruct": _known("llama", 131_072, 1_235_814_400, 16, 2048, 8192, 128_256, 32, 8, 64),
    "mistralai/Mistral-7B-Instruct-v0.3": _known(
        "mistral", 32_768, 7_248_023_552, 32, 4096, 14_336, 32_768, 32, 8, 128
    ),
    "Qwen/Qwen2.5-0.5B-Instruct": _known("qwen2", 32_768, 494_032_768, 24, 896, 4864, 151_936, 14, 2, 64),
    "Qwen/Qwen2.5-7B-Instruct": _known("qwen2", 32_768, 7_615_616_512, 28, 3584, 18_944, 152_064, 28, 4, 128),
}
"""The offline models, and some of the hub that are often fine-tuned; an operator can tell of others."""
