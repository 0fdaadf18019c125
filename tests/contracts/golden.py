"""What readers may rely on, frozen: `python -m tests.contracts.golden` writes schemas, samples and the topic table.

Run it after an additive change; a change that the tests call breaking needs a new event on `<topic>.v2` instead.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from brightrun.contracts import cluster_api, reports
from brightrun.contracts.event import Topic
from brightrun.contracts.events import CATALOGUE
from tests import builders

FOLDER = Path(__file__).parent
ARCHITECTURE = FOLDER.parents[1] / "ARCHITECTURE.md"
TABLE_BEGIN, TABLE_END = "<!-- topics: generated -->", "<!-- /topics -->"

SAMPLES = (
    builders.job_queued(),
    builders.job_cancel_requested(),
    builders.job_pause_requested(),
    builders.job_resume_requested(),
    builders.job_refused(),
    builders.job_deleted(),
    builders.job_started(),
    builders.job_progress(),
    builders.job_attempt_lost(),
    builders.job_paused(),
    builders.job_completed(),
    builders.dataset_validated(),
    builders.artifact_ready(),
    builders.budget_reached(),
    builders.duration_reached(),
)


def models() -> dict[str, type[BaseModel]]:
    """Every model that crosses a process: events by their topic, the others by their name."""
    found: dict[str, type[BaseModel]] = {topic.name: topic.event for topic in CATALOGUE}
    for module in (cluster_api, reports):
        for name, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == module.__name__:
                found[f"{module.__name__.rpartition('.')[2]}.{name}"] = value
    return found


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(mode="serialization")


def topic_table() -> str:
    """The catalogue as Markdown."""
    rows = ["| topic | fact | written by | read by | partitions | kept |", "|---|---|---|---|---|---|"]
    return "\n".join(rows + [_row(topic) for topic in CATALOGUE])


def _row(topic: Topic) -> str:
    fact = topic.fact.split("\n")[0]
    readers = ", ".join(topic.readers)
    return f"| `{topic.name}` | {fact} | {topic.owner} | {readers} | {topic.partitions} | {topic.retention.days} d |"


def write() -> None:
    for name, model in models().items():
        (FOLDER / "golden" / f"{name}.json").write_text(json.dumps(schema_of(model), indent=1, sort_keys=True) + "\n")
    for event in SAMPLES:
        sample = FOLDER / "samples" / f"{event.topic}.json"
        if not sample.exists():
            sample.write_text(event.model_dump_json(indent=1) + "\n")
    if ARCHITECTURE.exists():
        text = ARCHITECTURE.read_text()
        before, rest = text.split(TABLE_BEGIN)
        _, after = rest.split(TABLE_END)
        ARCHITECTURE.write_text(f"{before}{TABLE_BEGIN}\n{topic_table()}\n{TABLE_END}{after}")


if __name__ == "__main__":
    write()
