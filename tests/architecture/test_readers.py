"""No subscriber bypasses the chassis, and none may acknowledge on its own."""

import ast
from pathlib import Path

import pytest

from brightrun.contracts.events import CATALOGUE
from brightrun.runtime.kafka import KafkaClient
from brightrun.runtime.settings import KafkaSettings

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("libs", "services", "local") for path in (ROOT / folder).rglob("src/**/*.py")]
CHASSIS = ROOT / "libs/runtime/src/brightrun/runtime"


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_only_the_chassis_speaks_to_kafka() -> None:
    outside = [path for path in SOURCES if not path.is_relative_to(CHASSIS)]
    assert len(outside) > 50
    offenders = [str(path.relative_to(ROOT)) for path in outside if _imports(path) & {"faststream", "aiokafka"}]
    assert offenders == []


def test_only_one_place_of_the_chassis_makes_consumers() -> None:
    places = [path.name for path in CHASSIS.glob("*.py") if "AIOKafkaConsumer(" in path.read_text()]
    assert places == ["kafka.py"]


@pytest.mark.parametrize("topic", [topic.name for topic in CATALOGUE])
async def test_no_reader_commits_on_its_own(topic: str) -> None:
    kafka = KafkaClient(KafkaSettings(kafka_bootstrap="127.0.0.1:1"), "anybody")
    consumer = kafka.create_consumer(topic, group_id="anybody")
    assert consumer._enable_auto_commit is False
    assert consumer._auto_offset_reset == "earliest"
