"""Chat templates that a spec can name instead of the base model's own."""

import re
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase
from trl import chat_template_utils as families

from brightrun.contracts.training import ChatTemplate
from brightrun_trainer.process.failures import TrainingFailure

MARK = re.compile(r"\{%-? *(?:end)?generation *-?%\}")
PLAIN = """\
{%- if tools -%}{{- '### Tools:\\n' ~ tools | tojson ~ '\\n' -}}{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{{- '### Assistant:\\n' -}}
{%- generation -%}
{{- message.content or '' -}}
{%- if message.tool_calls -%}{{- message.tool_calls | tojson -}}{%- endif -%}
{{- eos_token -}}
{%- endgeneration -%}
{{- '\\n' -}}
{%- else -%}
{{- '### ' ~ message.role | capitalize ~ ':\\n' ~ message.content ~ '\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '### Assistant:\\n' -}}{%- endif -%}
"""
CHATML = """\
{%- if tools -%}{{- '<|im_start|>tools\\n' ~ tools | tojson ~ '<|im_end|>\\n' -}}{%- endif -%}
{%- for message in messages -%}
{{- '<|im_start|>' ~ message.role ~ '\\n' -}}
{%- if message.role == 'assistant' -%}
{%- generation -%}
{{- message.content or '' -}}
{%- if message.tool_calls -%}{{- message.tool_calls | tojson -}}{%- endif -%}
{{- '<|im_end|>' -}}
{%- endgeneration -%}
{%- else -%}
{{- message.content ~ '<|im_end|>' -}}
{%- endif -%}
{{- '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


@dataclass(frozen=True, slots=True)
class Template:
    """`serving` renders conversations; `training` also marks what the assistant says. Both need `tokens`."""

    serving: str
    training: str
    tokens: tuple[str, ...]


def _own(training: str, *tokens: str) -> Template:
    return Template(MARK.sub("", training), training, tokens)


def _family(name: str, *tokens: str) -> Template:
    serving, training = (getattr(families, f"{name}{kind}_chat_template") for kind in ("", "_training"))
    return Template(serving, training, tokens)


TEMPLATES: dict[ChatTemplate, Template] = {
    "plain": _own(PLAIN),
    "chatml": _own(CHATML, "<|im_start|>", "<|im_end|>"),
    "llama3": _family("llama3", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "qwen2_5": _family("qwen2_5", "<|im_start|>", "<|im_end|>"),
    "qwen3": _family("qwen3", "<|im_start|>", "<|im_end|>"),
    "gemma": _family("gemma", "<start_of_turn>", "<end_of_turn>"),
    "phi3": _family("phi3", "<|user|>", "<|assistant|>", "<|end|>"),
}


COMPLETE_TEMPLATES: tuple[ChatTemplate, ...] = ("plain", "chatml")
"""Those that render every role, tools, calls and results."""
TOOL_TEMPLATES: tuple[ChatTemplate, ...] = ("qwen2_5", "qwen3")
"""Those that render the same but messages of a developer."""


def fits(name: ChatTemplate, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer has the template's tokens."""
    return set(TEMPLATES[name].tokens) <= tokenizer.get_vocab().keys()


def use_template(tokenizer: PreTrainedTokenizerBase, name: ChatTemplate) -> str:
    """Set the tokenizer's template to the named one and return its training variant. Raises TrainingFailure."""
    template = TEMPLATES[name]
    known = tokenizer.get_vocab()
    if missing := [token for token in template.tokens if token not in known]:
        raise TrainingFailure(
            "chat_template_unfit",
            f"The chat template {name} needs {', '.join(missing)}, which are no tokens of this base model.",
            "Name the template of the model's own family, or plain, which works with every model.",
        )
    tokenizer.chat_template = template.serving
    return template.training
