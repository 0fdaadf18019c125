"""The OpenAPI documents are complete, valid, and changed by additions only."""

from typing import Any

import openapi_spec_validator
import pytest

from tests.contracts.dialects import served
from tests.contracts.golden import documents, golden
from tests.contracts.openapi import breaking_changes, operations

Json = dict[str, Any]

GOLDEN = golden("golden/openapi")
HINT = "run `python -m tests.contracts.golden` and commit what it writes"


def test_each_dialect_has_a_golden_document_and_none_is_left_over() -> None:
    assert documents().keys() == GOLDEN.keys(), HINT


@pytest.mark.parametrize("dialect", GOLDEN)
def test_a_dialect_changes_only_by_additions(dialect: str) -> None:
    assert breaking_changes(GOLDEN[dialect], documents()[dialect]) == []


@pytest.mark.parametrize("dialect", GOLDEN)
def test_the_golden_document_is_the_newest(dialect: str) -> None:
    assert GOLDEN[dialect] == documents()[dialect], HINT


@pytest.mark.parametrize("dialect", GOLDEN)
def test_a_document_is_valid(dialect: str) -> None:
    openapi_spec_validator.validate(served()[dialect])


@pytest.mark.parametrize("dialect", GOLDEN)
def test_every_operation_says_what_it_is_and_what_it_may_answer(dialect: str) -> None:
    found = operations(served()[dialect])
    assert len({operation["operationId"] for operation in found.values()}) == len(found)
    for name, operation in found.items():
        responses = operation["responses"]
        assert operation["summary"], name
        assert operation["tags"], name
        assert min(responses) < "400", name
        assert {"429", "503"} <= responses.keys(), name
        assert operation.get("security") is None or {"401", "403"} <= responses.keys(), name
        assert "requestBody" not in operation or {"400", "413"} <= responses.keys(), name
        assert "{" not in name or "404" in responses, name
        for status, response in responses.items():
            assert status < "400" or response["content"]["application/json"]["examples"], f"{name} {status}: no code"


@pytest.mark.parametrize("dialect", GOLDEN)
def test_every_json_body_has_an_example(dialect: str) -> None:
    without = [name for name, operation in operations(served()[dialect]).items() if _lacks_example(operation)]

    assert without == [], "give the bodies' models `json_schema_extra`"


def _lacks_example(operation: Json) -> bool:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return False
    schema = content["schema"]
    return not any("examples" in choice for choice in [schema, *schema.get("anyOf", ())])


@pytest.mark.parametrize("dialect", GOLDEN)
def test_no_error_message_names_a_field_of_one_dialect(dialect: str) -> None:
    """OpenAI's dialect has no `details`: its message contains them."""
    messages = {
        example["summary"]
        for operation in operations(served()[dialect]).values()
        for response in operation["responses"].values()
        for content in response.get("content", {}).values()
        for example in content.get("examples", {}).values()
    }
    assert messages
    assert [message for message in messages if "details" in message] == []
