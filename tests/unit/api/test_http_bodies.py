import pytest
from pydantic import ValidationError

from brightrun.api.accounts.schemas import Register
from brightrun.api.jobs.schemas import JobView, SubmitJob
from brightrun.api.models.routes import DownloadModel
from tests.builders import NOON
from tests.unit.api.test_jobs_projection import JOB


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        (" ada@example.com ", "ada@example.com"),
        ("ada@corp.local", "ada@corp.local"),
        ("ADA@localhost", "ada@localhost"),
    ],
)
def test_a_mailbox_has_one_spelling(given, stored):
    assert Register(email=given, password="long enough").email == stored


@pytest.mark.parametrize("address", ["", "ada", "@example.com", "Ada <ada@example.com>", "a b@example.com", "ada@"])
def test_an_invalid_address_is_rejected(address):
    with pytest.raises(ValidationError):
        Register(email=address, password="long enough")


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
@pytest.mark.parametrize("place", ["base_model", "target_modules", "unknown"])
def test_text_that_cannot_be_stored_is_refused_wherever_it_is(text, place):
    hyperparameters = {place: [text] if place == "target_modules" else text}
    body = {
        "dataset_id": "01900000-0000-7000-8000-000000000000",
        "preset_id": "fast",
        "gpu_config": {"type": "CPU", "count": 1},
        "hyperparameters": hyperparameters,
    }

    with pytest.raises(ValidationError, match="text must not contain"):
        SubmitJob.model_validate(body)


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({"files": ["a", "b\x00"]}, {"files.1": "text must not contain NUL or lone surrogates"}),
        ({"files": [2**63]}, {"files.0": "whole numbers must fit in 64 bits"}),
        (
            {"a\ud800": {"b": [-(2**64)]}},
            {"": "text must not contain NUL or lone surrogates", r"a\ud800.b.0": "whole numbers must fit in 64 bits"},
        ),
        ({"a": "\x00", "b": "\ud800"}, dict.fromkeys("ab", "text must not contain NUL or lone surrogates")),
        ({"files": ["a"] * 20_000}, {"": "a body must not have more than 20000 values"}),
        ({str(number): 1 for number in range(20_000)}, {"": "a body must not have more than 20000 values"}),
    ],
)
def test_what_cannot_be_stored_is_named_with_its_place(body, problems):
    with pytest.raises(ValidationError) as refused:
        DownloadModel.model_validate(body)

    assert {".".join(map(str, one["loc"])): one["msg"] for one in refused.value.errors()} == problems


def test_a_job_that_waits_shows_what_is_planned():
    view = JobView.of(JOB, NOON)

    assert (view.current_step, view.total_steps, view.current_epoch, view.total_epochs) == (0, 90, 0, 1)
    assert (view.current_cost, view.final_cost, view.trained_tokens) == (0, None, 0)
    assert view.model_dump(mode="json")["estimated_total_cost"] == 2.57
