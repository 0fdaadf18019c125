"""The tokens that end an answer, and a tokenizer that fits its model and has the tokens that training needs."""

from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl.data_utils import common_prefix_length

from brightrun_trainer.process.failures import TrainingFailure

QUESTION = {"role": "user", "content": "a"}
TURN = [QUESTION, {"role": "assistant", "content": "b"}]


def fit_tokenizer(name: str, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Give the tokenizer the end and padding tokens that it lacks. Raises TrainingFailure if it is not the model's."""
    embedding: Any = model.get_input_embeddings()
    rows, tokens = embedding.weight.shape[0], max(tokenizer.get_vocab().values()) + 1
    if rows < tokens and embedding.weight.ndim == 2:
        raise TrainingFailure(
            "tokenizer_unfit",
            f"The tokenizer of {name} has {tokens:,} tokens, but the model's embedding has only {rows:,} rows.",
            "Ask the operator for a tokenizer without the added tokens, or for a model with a resized embedding.",
        )
    if tokenizer.eos_token_id is None:
        ends = sorted(_end_of_turn(tokenizer)) or _configured_end(model)
        if not ends:
            raise TrainingFailure(
                "tokenizer_unfit",
                f"The tokenizer of {name} has no end-of-sequence token, so that answers would not end.",
                "Name the chat_template of the model's family, or ask the operator to set the tokenizer's eos_token.",
            )
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ends[0])
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token


def stop_tokens(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> set[int]:
    """The tokens that end an answer: the model's, the tokenizer's, and the chat template's, which may differ."""
    configured = model.generation_config.eos_token_id if model.generation_config else None
    listed = configured if isinstance(configured, list) else [configured]
    ends = {token for token in [*listed, tokenizer.eos_token_id] if isinstance(token, int)}
    return ends | _end_of_turn(tokenizer)


def _configured_end(model: PreTrainedModel) -> list[int]:
    """The end that the model's configuration names. Its class has a default, which may be any token here."""
    config = model.config.get_text_config()
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    return [token for token in ends if isinstance(token, int) and token != type(config)().eos_token_id][:1]


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The last special token behind an answer, if the chat template writes one there."""
    try:
        prompt, whole = _ids(tokenizer, [QUESTION], add_generation_prompt=True), _ids(tokenizer, TURN)
    except (TemplateError, TypeError, ValueError):
        return set()
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    behind = whole[common_prefix_length(prompt, whole) :]
    return set([token for token in behind if token in special][-1:])


def _ids(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]], **options: Any) -> list[int]:
    encoded: Any = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **options)
    ids: list[int] = encoded["input_ids"]
    return ids
