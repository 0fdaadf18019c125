"""Shapes of base models, from their configurations."""

import pytest

from brightrun.contracts.shapes import KNOWN, read

CONFIG = {
    "model_type": "qwen2",
    "num_hidden_layers": 24,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "vocab_size": 151_936,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32_768,
}


def test_a_configuration_tells_the_shape():
    assert read(CONFIG, 494_032_768) == KNOWN["Qwen/Qwen2.5-0.5B-Instruct"]


def test_what_is_seldom_written_follows_from_the_rest():
    few = {name: value for name, value in CONFIG.items() if name not in ("num_key_value_heads", "model_type")}
    shape = read(few | {"head_dim": 128}, 1)

    assert shape
    assert (shape.kv_heads, shape.head_size, shape.model_type) == (14, 128, None)


@pytest.mark.parametrize("name", ["hidden_size", "num_attention_heads", "num_hidden_layers", "vocab_size"])
@pytest.mark.parametrize("value", [None, 0, "many"])
def test_a_configuration_in_other_words_tells_none(name, value):
    assert read(CONFIG | {name: value}, 1) is None
