"""Pretrains the offline base models on the documentation that ships with Python; every call gives the same."""

import ast
import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, get_cosine_schedule_with_warmup

Chat = list[dict[str, str]]
MAX_ANSWER = 700
QUESTIONS = (
    "What does {name} do?",
    "Can you explain {name}?",
    "How do I use {name} from {module}?",
    "Hello, I have a question about {name}.",
    "Please tell me about {module}.{name}.",
)


def collect_prose() -> list[str]:
    """The language reference as plain paragraphs without markup, in a fixed order."""
    paragraphs: list[str] = []
    for name in sorted(topics):
        for paragraph in re.split(r"\n\s*\n", topics[name]):
            text = re.sub(r"[*`]+", "", " ".join(paragraph.split()))
            if len(text) > 80 and text.count(" ") > 12:
                paragraphs.append(text)
    return paragraphs


def collect_chats() -> list[Chat]:
    """The standard library's docstrings as questions and answers, in a fixed order."""
    pairs: list[Chat] = []
    for module, name, text in _docstrings():
        question = QUESTIONS[len(pairs) % len(QUESTIONS)].format(name=name, module=module)
        pairs.append([{"role": "user", "content": question}, {"role": "assistant", "content": text}])
    return pairs


def _docstrings() -> Iterator[tuple[str, str, str]]:
    """Each documented function or class of the top-level modules as (module, name, first paragraphs)."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                text = " ".join((ast.get_docstring(node) or "").split())[:MAX_ANSWER]
                if len(text) > 60:
                    yield path.stem, node.name, text


PAD, END = "<|pad|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
CONTEXT = 2048
SEED = 7
THREADS = 2
BATCH, WINDOW = 8, 128


@dataclass(frozen=True, slots=True)
class Recipe:
    """The size of a network, the number of steps and the learning rate."""

    vocabulary: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    steps: int
    learning_rate: float


RECIPES = {
    "tiny": Recipe(2048, 128, 384, layers=4, heads=4, kv_heads=2, steps=400, learning_rate=4e-3),
    "small": Recipe(4096, 256, 768, layers=8, heads=8, kv_heads=4, steps=600, learning_rate=2e-3),
}
"""1.0 and 7.3 million parameters."""

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|' + message.role.replace('developer', 'system') + '|>' -}}
{%- if message.role == 'assistant' -%}
{%- generation -%}
{{- message.content or '' -}}
{%- if message.tool_calls -%}{{- message.tool_calls | tojson -}}{%- endif -%}
{{- '<|end|>' -}}
{%- endgeneration -%}
{%- else -%}
{{- message.content + '<|end|>' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""


def pretrain_into(folder: Path, recipe: Recipe) -> None:
    """Train tokenizer and model and save both in `folder`."""
    torch.manual_seed(SEED)
    torch.set_num_threads(min(THREADS, os.cpu_count() or 1))
    chats, prose = collect_chats(), collect_prose()
    tokenizer = make_tokenizer(prose + [message["content"] for chat in chats for message in chat], recipe.vocabulary)
    model = make_model(tokenizer, recipe)
    documents = prose + [str(tokenizer.apply_chat_template(chat, tokenize=False)) for chat in chats]
    pretrain(model, _token_stream(tokenizer, documents), recipe)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_tokenizer(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer, which encodes any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT,
        additional_special_tokens=list(ROLES),
    )


def make_model(tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=recipe.vocabulary,
            hidden_size=recipe.hidden_size,
            intermediate_size=recipe.intermediate_size,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.kv_heads,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def pretrain(model: LlamaForCausalLM, stream: torch.Tensor, recipe: Recipe) -> None:
    """Train next-token prediction on random windows of `stream`; prints percent and loss to standard error."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = get_cosine_schedule_with_warmup(optimizer, recipe.steps // 10, recipe.steps)
    model.train()
    for step, batch in enumerate(_windows(stream, recipe.steps), start=1):
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % (recipe.steps // 20) == 0:
            print(f"base model: {100 * step // recipe.steps} %, loss {loss.item():.2f}", file=sys.stderr, flush=True)


def _token_stream(tokenizer: PreTrainedTokenizerFast, documents: list[str]) -> torch.Tensor:
    order = torch.randperm(len(documents)).tolist()
    encoded = tokenizer([documents[index] for index in order], add_special_tokens=False)["input_ids"]
    return torch.tensor([token for ids in encoded for token in (*ids, tokenizer.eos_token_id)])


def _windows(stream: torch.Tensor, steps: int) -> Iterator[torch.Tensor]:
    for _ in range(steps):
        starts = torch.randint(len(stream) - WINDOW, (BATCH,)).tolist()
        yield torch.stack([stream[start : start + WINDOW] for start in starts])
