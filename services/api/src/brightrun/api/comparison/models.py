"""What a comparison draws."""

from typing import Literal, get_args

Axis = Literal["step", "time", "tokens", "cost"]
Quantity = Literal[
    "training_loss",
    "validation_loss",
    "learning_rate",
    "gradient_norm",
    "token_accuracy",
    "validation_token_accuracy",
    "throughput",
    "gpu_memory_mb",
    "gpu_utilization",
]
QUANTITIES = get_args(Quantity)
