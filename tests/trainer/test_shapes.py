import json

from brightrun.contracts.shapes import KNOWN
from tests.trainer.runs import Trainer

SHAPES = """
import json
from types import SimpleNamespace
from brightrun_trainer.pretraining import RECIPES, make_model
from brightrun_trainer.shortage import shape_of
tokenizer = SimpleNamespace(pad_token_id=0, eos_token_id=1)
print(json.dumps({name: shape_of(make_model(tokenizer, recipe)).model_dump() for name, recipe in RECIPES.items()}))
"""


def test_the_offline_models_have_the_shapes_that_estimates_count_on(trainer: Trainer) -> None:
    printed = trainer.call("-c", SHAPES)
    assert printed.returncode == 0, printed.stderr
    assert json.loads(printed.stdout) == {name: KNOWN[name].model_dump() for name in ("tiny", "small")}
