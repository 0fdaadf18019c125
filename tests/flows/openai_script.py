"""A script of a user who comes from OpenAI: it uses nothing but the `openai` package, in any version.

Arguments: the base URL, the API key, a JSON Lines file. Prints a report as one JSON object.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import openai


def main(base_url: str, api_key: str, path: str) -> dict[str, Any]:
    client = openai.OpenAI(base_url=base_url, api_key=api_key)
    file = client.files.create(file=Path(path), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model="gpt-4o-mini-2024-07-18",
        training_file=file.id,
        suffix="flows",
        seed=7,
        metadata={"package": openai.__version__},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1, "batch_size": 4}}},
        extra_body={"rank": 8, "learning_rate": 1e-3, "save_steps": 4, "eval_steps": 4, "validation_split": 0.2},
    )
    statuses = [job.status]
    deadline = time.monotonic() + 300
    while job.status not in ("succeeded", "failed", "cancelled") and time.monotonic() < deadline:
        time.sleep(0.5)
        job = client.fine_tuning.jobs.retrieve(job.id)
        statuses += [job.status] if job.status != statuses[-1] else []
    assert job.status == "succeeded", job
    assert job.fine_tuned_model is not None

    events = list(client.fine_tuning.jobs.list_events(job.id, limit=2))
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id, limit=1))
    results = [client.files.content(name).text for name in job.result_files]
    listed = [job.id for job in client.fine_tuning.jobs.list(metadata={"package": openai.__version__})]
    models = [model.id for model in client.models.list()]
    files = [file.purpose for file in client.files.list(limit=1)]
    content = client.files.content(file.id).content
    report = {
        "version": openai.__version__,
        "job": job.to_dict(),
        "statuses": statuses,
        "events": [event.to_dict() for event in events],
        "checkpoints": [checkpoint.to_dict() for checkpoint in checkpoints],
        "results": results,
        "listed": listed,
        "models": models,
        "files": files,
        "content_is_the_file": content == Path(path).read_bytes(),
        "retrieved": client.models.retrieve(job.fine_tuned_model).id,
        "deleted_file": client.files.delete(file.id).deleted,
        "deleted_model": client.models.delete(job.fine_tuned_model).deleted,
    }
    report["left"] = [file.purpose for file in client.files.list()] + [
        model.id for model in client.models.list() if model.id.startswith("ft:")
    ]
    return report


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:]), default=str))
