import json
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.runs import Trainer

pytestmark = pytest.mark.xdist_group("trainer")

CASES = Path(__file__).parents[1] / "cases"
LEARNED_TEXT = Path(__file__).with_name("learned_text.py")
FIRST, SECOND = "A tube is four euros.", "Gladly, until noon."


def conversation(**first: Any) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "system", "content": "You are brief."},
            {"role": "user", "content": "What is a tube?"},
            {"role": "assistant", "content": FIRST, **first},
            {"role": "user", "content": "Keep one for me."},
            {"role": "assistant", "content": SECOND},
        ]
    }


def test_only_assistant_messages_of_weight_1_are_learned(trainer: Trainer, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(map(json.dumps, [conversation(), conversation(weight=0)])))
    called = trainer.call(str(LEARNED_TEXT), str(data))
    assert called.returncode == 0, called.stderr
    assert json.loads(called.stdout) == [f"{FIRST}<|end|>", f"{SECOND}<|end|>", f"{SECOND}<|end|>"]


@pytest.mark.parametrize("case", ["blank-lines", "text-parts", "legacy-function-call", "null-fields-of-sdk-dump"])
def test_what_the_schema_of_openai_allows_is_learned(trainer: Trainer, case: str) -> None:
    called = trainer.call(str(LEARNED_TEXT), str(CASES / f"{case}.jsonl"))
    assert called.returncode == 0, called.stderr
    learned = json.loads(called.stdout)
    if case == "legacy-function-call":
        call, answer = learned[:2]
        assert '"stock"' in call
        assert answer == "0 left.<|end|>"
    else:
        assert learned[0].startswith("Turn spoke 0")
        assert len(learned) == 12
