"""`validate_contestants.py NAME FILE`: read and check a data set once; prints seconds, CPU seconds and memory as JSON.

Runs in the services' environment, and for `datasets` in the trainer's.
"""

import json
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

PIECE_BYTES = 1024 * 1024


def brightrun(path: Path) -> Callable[[], object]:
    """All rules, warnings and statistics of the validation."""
    from brightrun.artifacts.datasets.models import ReadingOptions  # noqa: PLC0415
    from brightrun.artifacts.datasets.rules.validation import Validation  # noqa: PLC0415

    def check() -> object:
        with path.open("rb") as file:
            return Validation(ReadingOptions()).run(iter(lambda: file.read(PIECE_BYTES), b""))

    return check


def cookbook(path: Path) -> Callable[[], object]:
    """The format checks of OpenAI's cookbook ("Data preparation and analysis for chat model fine-tuning").

    Written anew from its rules. The notebook stops at a line that is not JSON, while this counts it.
    """
    keys, roles = {"role", "content", "name", "function_call", "weight"}, {"system", "user", "assistant", "function"}

    def check() -> object:
        errors: Counter[str] = Counter()
        examples: list[Any] = []
        with path.open(encoding="utf-8") as file:
            for line in file:
                try:
                    examples.append(json.loads(line))
                except ValueError:
                    errors["invalid_json"] += 1
        for example in examples:
            if not isinstance(example, dict):
                errors["data_type"] += 1
                continue
            messages = example.get("messages")
            if not messages:
                errors["missing_messages_list"] += 1
                continue
            for message in messages:
                if "role" not in message or "content" not in message:
                    errors["message_missing_key"] += 1
                if any(key not in keys for key in message):
                    errors["message_unrecognized_key"] += 1
                if message.get("role") not in roles:
                    errors["unrecognized_role"] += 1
                content, call = message.get("content"), message.get("function_call")
                if (not content and not call) or not isinstance(content, str):
                    errors["missing_content"] += 1
            if not any(message.get("role") == "assistant" for message in messages):
                errors["example_missing_assistant_message"] += 1
        return errors

    return check


def datasets(path: Path) -> Callable[[], object]:
    """Loads the file into Arrow, without any check but that of one schema."""
    from datasets import load_dataset  # type: ignore[import-not-found]  # noqa: PLC0415

    cache = tempfile.mkdtemp(dir=path.parent)
    return lambda: load_dataset("json", data_files=str(path), split="train", cache_dir=cache)


def main(name: str, path: Path) -> None:
    """Measure one contestant, without its imports."""
    check = {"brightrun": brightrun, "cookbook": cookbook, "datasets": datasets}[name](path)
    before = _peak_mib()
    began, cpu_began = time.perf_counter(), time.process_time()
    check()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "grown_mib": round(_peak_mib() - before)}))


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
