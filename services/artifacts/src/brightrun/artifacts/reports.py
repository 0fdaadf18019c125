"""What clusters tell of the models that they trained, as far as it is kept."""

from typing import Annotated

from pydantic import Field

from brightrun.contracts.serving import Serving
from brightrun.contracts.values import Sha256, Value

MAX_TURNS = 100
MAX_SAMPLES = 10

Text = Annotated[str, Field(max_length=20_000)]


class Turn(Value):
    """A message of a sample's conversation."""

    role: Text
    content: Text


class Sample(Value):
    """A held-out conversation, the answer that was expected, and those that were given."""

    messages: Annotated[tuple[Turn, ...], Field(max_length=MAX_TURNS)]
    expected: Text
    base: Text
    adapter: Text


class ChatTemplate(Value):
    """The file with the chat template to serve the adapter with; `name`: what the job chose for the model's own."""

    file: Text
    sha256: Sha256
    name: Text | None = None


class ModelReport(Value):
    """What the cluster tells of a model beside its figures; what it does not tell, or tells wrongly, is not there."""

    base_revision: Text | None = None
    chat_template: ChatTemplate | None = None
    versions: dict[str, str] | None = None
    serving: Serving | None = None
    samples: Annotated[tuple[Sample, ...], Field(max_length=MAX_SAMPLES)] = ()
