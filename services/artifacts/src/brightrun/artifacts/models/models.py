"""Rows of models, what is known of their training, and what their clusters reported of them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from brightrun.artifacts.leases import Lease
from brightrun.contracts.events import AdapterRef, DatasetRef, Pricing
from brightrun.contracts.serving import Serving
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import Sha256, Value

MAX_TURNS = 100
MAX_SAMPLES, MAX_NOTES = 10, 20

Text = Annotated[str, Field(max_length=20_000)]
Loss = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Mean cross-entropy in nats."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Curve(Value):
    """A job's loss curve in a few numbers; losses are mean cross-entropies in nats.

    Of the `trained_points` with a training loss: `opening_loss` is the mean of the first, `smooth_loss` that of the
    last, `best_smooth_loss` the lowest that it was.
    """

    points: int = 0
    last_step: int = 0
    last_epoch: float = 0.0
    first_training_loss: float | None = None
    best_training_loss: float | None = None
    last_training_loss: float | None = None
    best_validation_loss: float | None = None
    last_validation_loss: float | None = None
    previous_validation_loss: float | None = None
    trained_points: int = 0
    opening_loss: float | None = None
    smooth_loss: float | None = None
    best_smooth_loss: float | None = None


class Comparison(Value):
    """Base model against adapter on held-out examples.

    Accuracies are shares from 0 to 1: of next tokens guessed right; of pairs of answers, whose preferred one is found
    likelier; `reward_accuracy` of pairs, to whose preferred answer the adapter leans more than its base model.
    `fall_interval`: the 95 % confidence interval of the loss's fall, as a share of the base model's.
    """

    base_loss: Loss
    adapter_loss: Loss
    examples: int
    base_token_accuracy: Share | None = None
    adapter_token_accuracy: Share | None = None
    base_preference_accuracy: Share | None = None
    adapter_preference_accuracy: Share | None = None
    reward_accuracy: Share | None = None
    fall_interval: tuple[Finite, Finite] | None = None

    def figures(self) -> dict[str, Any]:
        """By the names that quality metrics have for them."""
        return {"compared_examples": self.examples, **self.model_dump(exclude={"examples", "fall_interval"})}


class QualityMetrics(Value):
    """The verdict on a training and the figures behind it.

    `confidence_interval`: 95 %, of the figure that the verdict is by: the loss's relative fall, or `reward_accuracy`.
    """

    overall_score: int
    convergence_quality: str
    reason: str
    initial_training_loss: float | None = None
    final_training_loss: float | None = None
    best_training_loss: float | None = None
    final_validation_loss: float | None = None
    best_validation_loss: float | None = None
    perplexity: float | None = None
    overfitting_gap: float | None = None
    base_loss: float | None = None
    adapter_loss: float | None = None
    compared_examples: int | None = None
    base_perplexity: float | None = None
    base_token_accuracy: float | None = None
    adapter_token_accuracy: float | None = None
    base_preference_accuracy: float | None = None
    adapter_preference_accuracy: float | None = None
    reward_accuracy: float | None = None
    confidence_interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """What a completed job leaves, from the moment its files are expected; or the copy of a checkpoint of a job.

    `trained_seconds` are without pauses. `stopped_by`: the limit that ended the training early, `budget` or `duration`.
    `validation`: the data set that it was evaluated on; `start`: the adapter that it went on with. `attempt`, `step`:
    those of a checkpoint, whose other figures are not those of its training.
    """

    id: UUID
    job_id: UUID
    user_id: UUID
    name: str
    version: str
    status: str
    cluster: str
    external_job_id: str
    spec: TrainingSpec
    gpu: GpuConfig
    dataset: DatasetRef
    pricing: Pricing
    trained_tokens: int
    started_at: datetime
    finished_at: datetime
    trained_seconds: float
    cost: Decimal
    stopped_by: str | None
    curve: Curve | None
    quality: QualityMetrics | None
    created_at: datetime
    tries: int
    problem: str | None
    fence: int
    validation: DatasetRef | None
    start: AdapterRef | None
    attempt: int | None
    step: int | None

    @property
    def lease(self) -> Lease:
        """The lease under which this row was read."""
        return Lease(self.id, self.fence)


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
    """The file with the chat template to serve the adapter with; `name`: the template that the job chose."""

    file: Text
    sha256: Sha256
    name: Text | None = None


class ModelReport(Value):
    """What the cluster reports of a model beside its figures; absent and invalid fields are left out.

    `notes`: what of the data was not learned as it was written.
    """

    base_revision: Text | None = None
    chat_template: ChatTemplate | None = None
    versions: dict[str, str] | None = None
    serving: Serving | None = None
    samples: Annotated[tuple[Sample, ...], Field(max_length=MAX_SAMPLES)] = ()
    notes: Annotated[tuple[Text, ...], Field(max_length=MAX_NOTES)] = ()
