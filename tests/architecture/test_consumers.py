"""Only the runtime uses Kafka, and no consumer commits offsets automatically."""

import ast
from pathlib import Path

import pytest

from brightrun.contracts.events import CATALOGUE
from brightrun.runtime.kafka import KafkaClient
from brightrun.runtime.settings import KafkaSettings

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("libs", "services", "local") for path in (ROOT / folder).rglob("src/**/*.py")]
RUNTIME = ROOT / "libs/runtime/src/brightrun/runtime"


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_only_the_runtime_imports_kafka_libraries() -> None:
    outside = [path for path in SOURCES if not path.is_relative_to(RUNTIME)]
    assert len(outside) > 50
    offenders = [str(path.relative_to(ROOT)) for path in outside if _imports(path) & {"aiokafka"}]
    assert offenders == []


def test_one_module_of_the_runtime_creates_consumers() -> None:
    modules = [path.name for path in RUNTIME.glob("*.py") if "AIOKafkaConsumer(" in path.read_text()]
    assert modules == ["kafka.py"]


@pytest.mark.parametrize("topic", [topic.name for topic in CATALOGUE])
async def test_no_consumer_commits_automatically(topic: str) -> None:
    kafka = KafkaClient(KafkaSettings(kafka_bootstrap="127.0.0.1:1"), "any-client")
    consumer = kafka.create_consumer(topic, group_id="any-group")
    assert consumer._enable_auto_commit is False
    assert consumer._auto_offset_reset == "earliest"
