"""Whatever the documents allow, and whatever they do not, sent to the live gateway: it keeps its word."""

import asyncio
import json
import re
from typing import Any

import pytest
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, assume, given, seed
from hypothesis import settings as limits
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode, SerializationContext
from schemathesis.specs.openapi.checks import positive_data_acceptance

from brightrun.api.settings import Settings
from brightrun.runtime.database import Pool
from tests.services.api.conftest import User
from tests.services.api.fakes import Fakes
from tests.services.api.objects import Objects, key_of
from tests.services.slices import serve

pytestmark = pytest.mark.slow

SEED = 20261124
EXAMPLES = 10
"""For each operation, of what the document allows and again of what it does not."""

MAX_QUERY_LENGTH = 4_000
"""Characters: the server itself error_responses what is longer than 64 KiB, in its own words."""


@schemathesis.serializer("application/jsonl")
def write_lines(_: SerializationContext, lines: Any) -> bytes:
    """A data set; it is stored without any check."""
    return json.dumps(lines).encode()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Without limits on how often somebody may ask."""
    return settings.model_copy(update={"rate_limit_reads": 0, "rate_limit_changes": 0, "rate_limit_anonymous": 0})


def streams(context: Any) -> bool:
    """Whether the operation's answer has no end; tests of their own read those."""
    return any("text/event-stream" in str(answer) for answer in context.operation.definition.raw["responses"].values())


def explore(operation: APIOperation[Any, Any, Any, Any], path_parameters: dict[str, str], token: str) -> list[str]:
    """What is wrong with the answers to an operation: status, shape, headers, or that it asks for no token."""
    wrong: list[str] = []
    with requests.Session() as session:
        headers = {"Authorization": f"Bearer {token}"}
        for mode in GenerationMode:
            known = path_parameters if mode is GenerationMode.POSITIVE else None

            @seed(SEED)
            @limits(
                max_examples=EXAMPLES,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(mode, path_parameters=known))
            def keeps_its_word(case: Case) -> None:
                assume(len(str(case.query)) < MAX_QUERY_LENGTH)
                case.call_and_validate(
                    session=session, headers=headers, timeout=20, excluded_checks=[positive_data_acceptance]
                )

            try:
                keeps_its_word()
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE, "there is always something that is allowed"
            except (Exception, BaseExceptionGroup) as error:
                wrong.append(f"{operation.label} ({mode.value}): {error}")
    return wrong


@pytest.mark.parametrize("dialect", ["api", "v1"])
async def test_a_dialect_keeps_its_documents_word(
    app: FastAPI, ada: User, pool: Pool, fakes: Fakes, dialect: str
) -> None:
    print("seed", SEED)
    token = await key_of(ada)  # one of the operations signs out
    ada.headers["authorization"] = f"Bearer {token}"
    own = Objects(ada, pool, fakes)
    async with serve(app) as url:
        document = f"{url}/openapi.json" if dialect == "api" else f"{url}/{dialect}/openapi.json"
        schema = await asyncio.to_thread(schemathesis.openapi.from_url, document)
        schema.config.generation.update(allow_extra_parameters=False)  # unknown names in a query are no mistake
        wrong = []
        for found in schema.exclude(streams).get_all_operations():
            operation = found.ok()
            path_parameters = await own.for_path(dialect, re.findall(r"{(\w+)}", operation.path))
            wrong += await asyncio.to_thread(explore, operation, path_parameters, token)

    assert not wrong, "\n\n".join(wrong)
