"""What others may rely on, frozen: `python -m tests.contracts.golden` writes schemas, samples and the topic table.

Run it after an additive change; it writes nothing over a breaking one. An event needs a successor on `<topic>.v2`
instead. What an installation's clients may lose all the same is deleted from the golden file by hand, for all to see.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from brightrun.contracts import cluster_api, generation, pagination, reports
from brightrun.contracts.event import Topic
from brightrun.contracts.events import CATALOGUE
from tests import builders
from tests.contracts import compatibility, dialects, openapi

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
    builders.job_logged(),
    builders.budget_reached(),
    builders.duration_reached(),
)


def models() -> dict[str, type[BaseModel]]:
    """Every model that crosses a process: events by their topic, the others by their name."""
    found: dict[str, type[BaseModel]] = {topic.name: topic.event for topic in CATALOGUE}
    for module in (cluster_api, generation, pagination, reports):
        for name, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == module.__name__:
                found[f"{module.__name__.rpartition('.')[2]}.{name}"] = value
    return found


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(mode="serialization")


def documents() -> dict[str, dict[str, Any]]:
    """What clients may rely on, by dialect."""
    return {name: openapi.essence(document) for name, document in dialects.served().items()}


def golden(folder: str) -> dict[str, dict[str, Any]]:
    """What was promised: the schemas of `golden`, the documents of `golden/openapi`."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / folder).glob("*.json"))}


def broken() -> list[str]:
    """What would break somebody, were it written."""
    schemas = {name: schema_of(model) for name, model in models().items()}
    return [
        f"{name} {change}"
        for folder, now, compare in (
            ("golden", schemas, compatibility.breaking_changes),
            ("golden/openapi", documents(), openapi.breaking_changes),
        )
        for name, promised in golden(folder).items()
        for change in (compare(promised, now[name]) if name in now else ["removed"])
    ]


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
        _save(FOLDER / "golden" / f"{name}.json", schema_of(model))
    for name, document in documents().items():
        _save(FOLDER / "golden/openapi" / f"{name}.json", document)
    for event in SAMPLES:
        sample = FOLDER / "samples" / f"{event.topic}.json"
        if not sample.exists():
            sample.write_text(event.model_dump_json(indent=1) + "\n")
    if ARCHITECTURE.exists():
        text = ARCHITECTURE.read_text()
        before, rest = text.split(TABLE_BEGIN)
        _, after = rest.split(TABLE_END)
        ARCHITECTURE.write_text(f"{before}{TABLE_BEGIN}\n{topic_table()}\n{TABLE_END}{after}")


def _save(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    if breaking := broken():
        sys.exit("this would break others:\n" + "\n".join(breaking))
    write()
