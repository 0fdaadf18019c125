"""The composition gives each service the variables of its settings, and requires every secret."""

import re
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml
from pydantic_settings import BaseSettings

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)["services"]
DOCKERFILE = (REPOSITORY / "deploy/Dockerfile").read_text()
ENGINES = {"postgres": "database_url", "kafka": "kafka_bootstrap", "seaweedfs": "s3_endpoint"}
"""Each engine, and the setting of the services that need it."""
SERVICES = sorted(path.parent.name for path in (REPOSITORY / "services").glob("*/pyproject.toml"))
PREFIX = "BRIGHTRUN_"
REQUIRED = r"\$\{(\w+):\?run deploy/make-env > \.env\}"


def settings_of(service: str) -> type[BaseSettings]:
    """The settings class of the service's `main`."""
    start = import_module(f"brightrun.{service}.main").start
    settings: type[BaseSettings] = get_type_hints(start)["settings"]
    return settings


def provided(service: str) -> set[str]:
    """The settings that the service gets from the composition and from its stage of the Dockerfile."""
    stages = ["service", "cluster"] if COMPOSE[service]["build"]["target"] == "cluster" else ["service"]
    lines = re.findall(r"^ENV (.+)$", "".join(_stage(name) for name in stages), re.MULTILINE)
    in_image = {name for line in lines for name in re.findall(r"(\w+)=", line)}
    names = {*COMPOSE[service]["environment"], *in_image}
    return {name.removeprefix(PREFIX).lower() for name in names if name.startswith(PREFIX)}


def _stage(name: str) -> str:
    return next(stage for stage in DOCKERFILE.split("\nFROM ") if re.match(rf"\S+ AS {name}\n", stage))


def secrets() -> set[str]:
    """The variables that the operator must set."""
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    return {line.removesuffix("=") for line in lines if line.endswith("=") and not line.startswith("#")}


def test_the_composition_has_the_engines_and_every_service() -> None:
    assert set(COMPOSE) == {*ENGINES, *SERVICES}


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_builds_its_own_image(service: str) -> None:
    build = COMPOSE[service]["build"]

    assert build["dockerfile"] == "deploy/Dockerfile"
    assert build["args"] == {"SERVICE": service}


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_gets_only_variables_of_its_settings(service: str) -> None:
    assert provided(service) <= set(settings_of(service).model_fields)


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_gets_every_required_setting(service: str) -> None:
    required = {name for name, field in settings_of(service).model_fields.items() if field.is_required()}

    assert required <= provided(service)


def test_the_cluster_gets_its_trainer_and_models() -> None:
    assert {"trainer_python", "models"} <= provided("cluster")


def test_every_secret_is_required() -> None:
    assert set(re.findall(REQUIRED, TEXT)) == secrets()


def test_every_variable_is_a_secret_or_has_a_default() -> None:
    without_default = set(re.findall(r"\$\{(\w+)\}", TEXT))

    assert without_default <= secrets()


def test_the_guide_lists_every_variable_but_the_secrets() -> None:
    guide = (REPOSITORY / "docs/deploy.md").read_text().split("## Settings in `.env`")[1].split("\n## ")[0]
    first_cells = [line.split("|")[1] for line in guide.splitlines() if line.startswith("| `")]
    listed = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}

    assert listed == set(re.findall(r"\$\{(\w+):-", TEXT)) | {"BRIGHTRUN_S3_PUBLIC_ENDPOINT"}


def test_the_composition_contains_no_secret() -> None:
    """Secrets of services come from variables."""
    literal = {
        (service, name)
        for service in SERVICES
        for name, value in COMPOSE[service]["environment"].items()
        if name.endswith(("_SECRET", "_KEY", "_DATABASE_URL")) and "${" not in value
    }

    assert not literal


def test_make_env_gives_every_secret_its_own_value() -> None:
    output = subprocess.run([REPOSITORY / "deploy/make-env", "192.0.2.1"], capture_output=True, text=True, check=True)
    values = dict(line.split("=", 1) for line in output.stdout.splitlines() if line and not line.startswith("#"))

    assert set(values) == secrets()
    assert values.pop("BRIGHTRUN_S3_PUBLIC_ENDPOINT") == "http://192.0.2.1:8333"
    assert len(set(values.values())) == len(values)
    assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in values.values())


def test_every_image_is_pinned_to_a_version() -> None:
    images = [service["image"] for service in COMPOSE.values() if "image" in service]
    images += re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE, re.MULTILINE)

    assert len(images) == len(ENGINES) + 1
    assert all(re.search(r":\d+\.\d+", image) for image in images)


def test_only_api_web_and_object_store_publish_ports() -> None:
    published = {name for name, service in COMPOSE.items() if "ports" in service}

    assert published == {"api", "web", "seaweedfs"}


@pytest.mark.parametrize("name", [*ENGINES, *SERVICES])
def test_every_container_restarts(name: str) -> None:
    assert COMPOSE[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_waits_until_its_engines_are_healthy(service: str) -> None:
    engines = {name for name, setting in ENGINES.items() if setting in settings_of(service).model_fields}
    dependencies = COMPOSE[service].get("depends_on", {})

    assert dependencies == {name: {"condition": "service_healthy"} for name in engines}
    assert all("healthcheck" in COMPOSE[name] for name in engines)
