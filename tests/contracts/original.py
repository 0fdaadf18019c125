"""What Sections 3 to 6 of the original's specification have its clients read, field by field.

A shape is a type, `type?` where the original has null as well, an object of shapes, or a list with the shape of each
item. `*` stands for any field name. Fields that ours has besides are no difference.
"""

from typing import Any
from uuid import UUID

JOB = {
    "id": "uuid",
    "user_id": "uuid",
    "dataset_id": "uuid",
    "preset_id": "string",
    "status": "string",
    "current_stage": "string",
    "progress": "number",
    "current_epoch": "number",
    "total_epochs": "number",
    "current_step": "number",
    "total_steps": "number",
    "gpu_config": {"type": "string", "count": "number"},
    "hyperparameters": {"batch_size": "number", "epochs": "number?", "learning_rate": "number", "rank": "number"},
    "estimated_total_cost": "number",
    "current_cost": "number",
    "final_cost": "number?",
    "current_metrics": {"*": "number"},
    "external_job_id": "string?",
    "artifact_id": "uuid?",
    "error_message": "string?",
    "error_stack": "string?",
    "created_at": "string",
    "queued_at": "string",
    "started_at": "string?",
    "completed_at": "string?",
    "dataset": {"name": "string", "format": "string", "total_training_pairs": "number"},
}
PAGINATION = {"page": "number", "limit": "number", "total": "number", "totalPages": "number"}
POINT = {
    "timestamp": "string",
    "step": "number",
    "epoch": "number",
    "training_loss": "number?",
    "validation_loss": "number?",
    "learning_rate": "number?",
}
COST_RECORD = {"cost_type": "string", "amount": "number", "recorded_at": "string"}
ESTIMATE = {
    "estimated_cost": "number",
    "cost_breakdown": {"compute": "number", "storage": "number"},
    "estimated_duration_hours": "number",
    "hourly_rate": "number",
    "training_details": {
        "total_steps": "number",
        "steps_per_epoch": "number",
        "estimated_throughput_tokens_per_sec": "number",
        "dataset_name": "string",
    },
}
MODEL = {
    "id": "uuid",
    "user_id": "uuid",
    "job_id": "uuid",
    "dataset_id": "uuid",
    "dataset": {"name": "string"},
    "name": "string",
    "version": "string",
    "status": "string",
    "created_at": "string",
    "quality_metrics": {
        "overall_score": "number",
        "convergence_quality": "string",
        "final_training_loss": "number?",
        "final_validation_loss": "number?",
        "perplexity": "number?",
    },
    "training_summary": {
        "epochs_completed": "number",
        "total_steps": "number",
        "final_loss": "number?",
        "training_duration_hours": "number",
        "total_cost": "number",
    },
    "configuration": {
        "preset_id": "string?",
        "hyperparameters": {"learning_rate": "number"},
        "gpu_config": {"type": "string", "count": "number"},
    },
    "artifacts": {"*": "string"},
}
COSTS = {
    "total_cost": "number",
    "cost_by_type": {"*": "number"},
    "chart_data": [{"date": "string", "amount": "number"}],
    "records": [COST_RECORD],
}
NOTIFICATION = {
    "id": "uuid",
    "user_id": "uuid",
    "type": "string",
    "title": "string",
    "message": "string",
    "priority": "string",
    "action_url": "string",
    "metadata": {},
    "read": "boolean",
    "created_at": "string",
}
NOTIFICATIONS = {"notifications": [NOTIFICATION], "unread_count": "number"}


def differences(shape: Any, answer: Any, path: str = "data") -> list[str]:
    """Where the answer is not what the original's clients read."""
    if isinstance(shape, str):
        return [] if _has_type(answer, shape) else [f"{path} is {answer!r} instead of a {shape}"]
    if isinstance(shape, list):
        if not isinstance(answer, list) or not answer:
            return [f"{path} has no items"]
        return [fault for place, item in enumerate(answer) for fault in differences(shape[0], item, f"{path}.{place}")]
    if not isinstance(answer, dict):
        return [f"{path} is no object"]
    if "*" in shape:
        shape = dict.fromkeys(answer, shape["*"])
    missing = [f"{path}.{name} is missing" for name in shape.keys() - answer.keys()]
    present = [name for name in shape if name in answer]
    return missing + [fault for name in present for fault in differences(shape[name], answer[name], f"{path}.{name}")]


def without(shape: dict[str, Any], *names: str) -> dict[str, Any]:
    """The shape without fields that another service adds."""
    return {name: inner for name, inner in shape.items() if name not in names}


def _has_type(value: Any, name: str) -> bool:
    if value is None:
        return name.endswith("?")
    match name.rstrip("?"):
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "uuid":
            return isinstance(value, str) and str(UUID(value)) == value
    return isinstance(value, str)
