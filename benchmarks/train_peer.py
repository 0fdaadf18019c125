"""`train_peer.py PEER SETUP`: trains as one would without us; run by the trainer's Python.

PEER is `transformers` (its Trainer, with PEFT) or `trl` (its SFTTrainer); SETUP is JSON, see `benchmarks.train.Setup`.
Prints `{"tokens_per_second": …}`, which leaves out the first steps.
"""
# mypy: disable-error-code="import-not-found, import-untyped, unused-ignore, misc, no-any-unimported"

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from trl import SFTConfig, SFTTrainer


class Clock(TrainerCallback):
    """Tokens and seconds from the end of the step `first` to the end of the last."""

    def __init__(self, first: int) -> None:
        self._first = first
        self.rate = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self._first:
            self._began, self._tokens = time.monotonic(), state.num_input_tokens_seen
        elif state.global_step > self._first:
            self.rate = float(state.num_input_tokens_seen - self._tokens) / (time.monotonic() - self._began)


@dataclass(frozen=True)
class Work:
    """What is trained, on which conversations, and how."""

    model: Any
    tokenizer: Any
    chats: list[Any]
    lora: LoraConfig
    max_length: int
    arguments: dict[str, Any]


def main() -> None:
    """Run as this process."""
    peer, setup = sys.argv[1], json.loads(sys.argv[2])
    chats = [json.loads(line)["messages"] for line in Path(setup["data"]).read_text().splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(setup["model"])
    gpu = torch.cuda.is_available()
    model = AutoModelForCausalLM.from_pretrained(setup["model"], dtype=torch.bfloat16 if gpu else torch.float32)
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=setup["rank"],
        lora_alpha=2 * setup["rank"],
        lora_dropout=0.05,
        target_modules="all-linear",
    )
    clock = Clock(setup["warm_steps"])
    with_peer = {"transformers": _with_transformers, "trl": _with_trl}[peer]
    work = Work(model, tokenizer, chats, lora, setup["max_length"], _arguments(setup, gpu))
    trainer = with_peer(work)
    trainer.add_callback(clock)
    trainer.train()
    print(json.dumps({"tokens_per_second": clock.rate}))


def _arguments(setup: dict[str, Any], gpu: bool) -> dict[str, Any]:
    return {
        "output_dir": setup["folder"],
        "max_steps": setup["steps"],
        "per_device_train_batch_size": setup["batch_size"],
        "learning_rate": 1e-4,
        "seed": 42,
        "bf16": gpu,
        "use_cpu": not gpu,
        "gradient_checkpointing": gpu,
        "dataloader_pin_memory": gpu,
        "save_strategy": "no",
        "include_num_input_tokens_seen": "non_padding",
        "report_to": "none",
        "disable_tqdm": True,
    }


def _with_transformers(work: Work) -> Trainer:
    def encode(chat: Any) -> dict[str, Any]:
        encoded = work.tokenizer.apply_chat_template(
            chat, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        ids, mask = encoded["input_ids"][: work.max_length], encoded["assistant_masks"][: work.max_length]
        labels = [token if learned else -100 for token, learned in zip(ids, mask, strict=True)]
        return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}

    return Trainer(
        model=get_peft_model(work.model, work.lora),
        args=TrainingArguments(**work.arguments),
        train_dataset=Dataset.from_list([encode(chat) for chat in work.chats]),
        data_collator=DataCollatorForSeq2Seq(work.tokenizer, padding=True),
    )


def _with_trl(work: Work) -> Trainer:
    return SFTTrainer(
        model=work.model,
        args=SFTConfig(max_length=work.max_length, assistant_only_loss=True, **work.arguments),
        train_dataset=Dataset.from_list([{"messages": chat} for chat in work.chats]),
        processing_class=work.tokenizer,
        peft_config=work.lora,
    )


if __name__ == "__main__":
    main()
