"""`models.py FOLDER NAME [--weights]`: a base model with a real configuration and random weights.

Memory and speed do not depend on the weights' values. Without `--weights` only configuration and tokenizer are written,
and `child.py` makes the weights on the device.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PretrainedConfig, Qwen2Config

from brightrun_trainer.offline.pretraining import collect_prose, make_tokenizer

VOCABULARY = 2048


def config_of(name: str) -> PretrainedConfig:
    """Qwen2.5-0.5B, Qwen2.5-1.5B, Llama-3.1-8B, or a network of a few thousand parameters."""
    qwen: dict[str, Any] = {"vocab_size": 151_936, "max_position_embeddings": 32_768, "tie_word_embeddings": True}
    ends: dict[str, Any] = {"eos_token_id": 1, "pad_token_id": 0, "bos_token_id": None}
    sizes: dict[str, Any]
    match name:
        case "0.5b":
            sizes = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24}
            return Qwen2Config(**qwen, **sizes, num_attention_heads=14, num_key_value_heads=2, **ends)
        case "1.5b":
            sizes = {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28}
            return Qwen2Config(**qwen, **sizes, num_attention_heads=12, num_key_value_heads=2, **ends)
        case "8b":
            sizes = {"hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32}
            heads: dict[str, Any] = {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
            return LlamaConfig(vocab_size=128_256, max_position_embeddings=131_072, **sizes, **heads, **ends)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=512, num_key_value_heads=1, **sizes, **ends)


def main() -> None:
    folder, name = Path(sys.argv[1]), sys.argv[2]
    config = config_of(name)
    config.architectures = [f"{type(config).__name__.removesuffix('Config')}ForCausalLM"]
    config.save_pretrained(folder)
    make_tokenizer(collect_prose(), VOCABULARY).save_pretrained(folder)
    if "--weights" in sys.argv:
        gpu = torch.cuda.is_available()
        torch.manual_seed(0)
        with torch.device("cuda" if gpu else "cpu"):
            model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16 if gpu else torch.float32)
        model.save_pretrained(folder)


if __name__ == "__main__":
    main()
