import json

import pytest

from brightrun.contracts.shapes import KNOWN
from tests.trainer.runs import Trainer

pytestmark = pytest.mark.xdist_group("trainer")

SHAPES = """
import json
from types import SimpleNamespace
from brightrun_trainer.offline.pretraining import RECIPES, make_model
from brightrun_trainer.model.oom_advice import shape_of
tokenizer = SimpleNamespace(pad_token_id=0, eos_token_id=1)
print(json.dumps({name: shape_of(make_model(tokenizer, recipe)).model_dump() for name, recipe in RECIPES.items()}))
"""


def test_the_offline_models_have_the_shapes_that_estimates_use(trainer: Trainer) -> None:
    called = trainer.call("-c", SHAPES)
    assert called.returncode == 0, called.stderr
    assert json.loads(called.stdout) == {name: KNOWN[name].model_dump() for name in ("tiny", "small")}
