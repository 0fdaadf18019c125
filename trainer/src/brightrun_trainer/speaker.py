"""A delivered adapter on its base model, loaded to be spoken with."""

from collections.abc import Callable
from pathlib import Path

from peft import PeftModel
from transformers import AutoTokenizer

from brightrun.contracts.generation import Generate, Side
from brightrun_trainer.failures import TrainingFailure
from brightrun_trainer.generation import Sampling, Saying, encode_prompt, say
from brightrun_trainer.model import load_base


class Speaker:
    """Base model, adapter, and the tokenizer with the chat template that came with the adapter."""

    def __init__(self, folder: Path, base_name: str, revision: str | None = None) -> None:
        """Raises TrainingFailure if the adapter or its base model is not there."""
        base = load_base(base_name, revision)
        if not (folder / "adapter_config.json").is_file():
            raise TrainingFailure(
                "adapter_missing", "The adapter's files are not there any more.", "Train the model again."
            )
        self._model = PeftModel.from_pretrained(base.model, str(folder))
        self._tokenizer = AutoTokenizer.from_pretrained(str(folder))
        self._context = base.context

    def answer(
        self, request: Generate, seconds: float, tell: Callable[[Side, str], None]
    ) -> tuple[int, dict[Side, Saying]]:
        """The tokens of the conversation, and what the sides said. Raises TrainingFailure."""
        messages = [message.model_dump() for message in request.messages]
        prompt = encode_prompt(self._tokenizer, messages, self._context - request.max_tokens)
        sampling = Sampling(request.max_tokens, request.temperature, request.top_p, request.seed, seconds)
        sides = tuple(dict.fromkeys(request.sides))
        return prompt.shape[1], say(self._model, self._tokenizer, prompt, sides, sampling, tell=tell)
