"""OpenAI's words and ours."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brightrun.api.errors import Invalid
from brightrun.api.http.error_responses import ErrorBody
from brightrun.api.openai import ids
from brightrun.api.openai.errors import ErrorView, error_answer
from brightrun.api.openai.file_rules import File, clean_name, header, merge, rows
from brightrun.api.openai.routes.fine_tuning import read_metadata
from brightrun.api.openai.schemas import CreateJob
from brightrun.api.openai.translation import EXTRAS, is_base_model, split_batch, translate
from tests.builders import NOON

ANY_ID = st.uuids()


@given(value=ANY_ID, prefix=st.sampled_from([ids.FILE, ids.RESULTS, ids.JOB, ids.UPLOAD, ids.PART]))
def test_an_identifier_is_read_back(value: UUID, prefix: str) -> None:
    assert ids.read(prefix, ids.write(prefix, value)) == value
    for other in {ids.FILE, ids.RESULTS, ids.JOB, ids.UPLOAD, ids.PART} - {prefix}:
        assert ids.read(other, ids.write(prefix, value)) is None


@given(text=st.text(max_size=60))
def test_an_invalid_identifier_is_none(text: str) -> None:
    for prefix in (ids.FILE, ids.JOB):
        assert ids.read(prefix, prefix + text) is None or len(text) == 32
    ids.read_event(ids.EVENT + text)
    ids.read_checkpoint(ids.CHECKPOINT + text)
    ids.read_model(ids.FINE_TUNED + text)


@given(value=ANY_ID, base=st.sampled_from(["tiny", "owner/model:tag"]), suffix=st.none() | st.text(max_size=64))
def test_a_models_name_tells_which_it_is(value: UUID, base: str, suffix: str | None) -> None:
    name = ids.name_model(base, suffix, value)
    assert name.startswith(f"ft:{base}:personal:")
    assert ids.read_model(name) == value
    assert ids.read_model(f"{name}:ckpt-step-3") is None


@given(size=st.integers(1, 256))
def test_a_batch_is_split_without_a_rest(size: int) -> None:
    device, accumulation = split_batch(size)
    assert device * accumulation == size
    assert 1 <= device <= 64
    assert not any(size % larger == 0 for larger in range(device + 1, 65))


def create_job(**fields: object) -> CreateJob:
    return CreateJob.model_validate({"model": "tiny", "training_file": ids.write(ids.FILE, UUID(int=1))} | fields)


@given(multiplier=st.floats(0.1, 10))
def test_every_multiplier_within_its_bounds_is_a_learning_rate(multiplier: float) -> None:
    request = translate(create_job(hyperparameters={"learning_rate_multiplier": multiplier}), "tiny", "CPU").request
    assert request.hyperparameters.learning_rate == pytest.approx(multiplier * 1e-4, rel=1e-9)


@pytest.mark.parametrize("multiplier", [0.0999, 10.01])
def test_a_multiplier_beyond_them_is_refused(multiplier: float) -> None:
    with pytest.raises(Invalid) as refused:
        translate(create_job(hyperparameters={"learning_rate_multiplier": multiplier}), "tiny", "CPU")
    assert refused.value.details == {
        "hyperparameters.learning_rate_multiplier": ["must be 0.1 to 10, as it multiplies a learning rate of 0.0001"]
    }


def test_an_order_waits_for_its_file_and_is_of_this_dialect() -> None:
    request = translate(create_job(suffix="x", metadata={"k": "v"}), "tiny", "CPU").request
    assert (request.may_await_dataset, request.dialect, request.suffix, request.metadata) == (
        True,
        "openai",
        "x",
        {"k": "v"},
    )


def test_problems_have_the_paths_of_the_request() -> None:
    translation = translate(
        create_job(method={"type": "supervised", "supervised": {"hyperparameters": {}}}, rank=8), "t", "C"
    )
    found = {"hyperparameters.rank": ["a"], "hyperparameters.base_model": ["b"], "gpu_config.type": ["c"]}
    assert translation.rename(found) == {"rank": ["a"], "model": ["b"], "gpu_config.type": ["c"]}
    assert translation.rename({"hyperparameters.epochs": ["d"]}) == {
        "method.supervised.hyperparameters.n_epochs": ["d"]
    }


def test_what_openai_has_a_word_for_is_no_extra() -> None:
    assert {"rank", "alpha", "dropout", "learning_rate", "max_steps", "packing"} <= EXTRAS
    assert not {"seed", "epochs", "batch_size", "base_model", "method", "max_cost"} & EXTRAS


def test_a_base_is_known_by_its_name_an_alias_or_on_the_hub() -> None:
    class Tiny:
        name = "tiny"
        aliases = ("gpt-4o-mini",)

    names = ("tiny", "gpt-4o-mini", "owner/model", "gpt-9", "ft:owner/model:x:ckpt-step-8")
    assert [is_base_model(name, [Tiny()]) for name in names] == [True, True, True, False, False]


def shaped(status: int, code: str, details: object = None) -> ErrorView:
    return error_answer(status, ErrorBody(error="No.", code=code, details=details)).error


@pytest.mark.parametrize(
    ("status", "code", "details", "expected"),
    [
        (400, "validation_error", {"a.b": ["bad", "worse"], "c": ["no"]}, ("No: a.b: bad, worse; c: no", "a.b")),
        (404, "file_not_found", None, ("No.", "file")),
        (400, "dataset_not_ready", "state='invalid'", ("No: state='invalid'", "training_file")),
        (409, "dataset_in_use", {"jobs": ["1", "2"]}, ("No: jobs: 1, 2", None)),
        (403, "wrong_scope", {"needed": ["train"]}, ("No: needed: train", None)),
        (
            400,
            "validation_error",
            {"body": ["no JSON at line 1, column 2"]},
            ("No: body: no JSON at line 1, column 2", None),
        ),
        (409, "upload_over", {"status": "expired"}, ("No: status: expired", None)),
    ],
)
def test_a_refusal_names_every_wrong_field_and_the_first_apart(
    status: int, code: str, details: object, expected: tuple[str, str | None]
) -> None:
    error = shaped(status, code, details)
    assert (error.message, error.param) == expected
    assert (error.type, error.code) == ("invalid_request_error", code)


def test_refusals_have_the_codes_that_clients_know() -> None:
    assert shaped(401, "unauthorized").code == "invalid_api_key"
    assert (shaped(429, "rate_limited").code, shaped(429, "x").type) == (
        "rate_limit_exceeded",
        "rate_limit_error",
    )
    assert shaped(503, "unavailable").type == "server_error"
    assert len(shaped(400, "x", "y" * 10_000).message) <= 2000


def _file(name: str, minutes: int) -> File:
    return File(name, 1, NOON + timedelta(minutes=minutes), name, "fine-tune", "processed")


def test_files_of_both_kinds_are_merged_in_order() -> None:
    datasets, results = [_file("a", 1), _file("c", 3)], [_file("b", 2), _file("d", 4)]
    assert [file.id for file in merge(datasets, results, "asc", 3)] == ["a", "b", "c"]
    assert [file.id for file in merge(datasets[::-1], results[::-1], "desc", 9)] == ["d", "c", "b", "a"]


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("a.jsonl", "a.jsonl"),
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\b.jsonl", "b.jsonl"),
        ("\x00\n", "upload"),
        ("..", "upload"),
        ("", "upload"),
        ("x" * 300, "x" * 200),
    ],
)
def test_a_files_name_is_a_name(filename: str, name: str) -> None:
    assert clean_name(filename) == name


def test_results_have_a_line_for_each_step() -> None:
    points = [{"step": 1, "training_loss": 2.0}, {"step": 1, "validation_loss": 3.0, "training_loss": None}]
    assert header() + rows(points) == (
        "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n1,2.0,,3.0,\n"
    )


def test_metadata_is_filtered_by_as_openai_writes_it() -> None:
    assert read_metadata([("limit", "3")]) is None
    assert read_metadata([("metadata[a]", "1"), ("metadata[b]", "")]) == {"a": "1", "b": ""}
    assert read_metadata([("metadata", "null")]) == {}
    for wrong in (
        [("metadata", "a")],
        [("metadata[]", "a")],
        [("metadata[a", "a")],
        [("metadata", "null"), ("metadata[a]", "1")],
        [("metadata[a]", "\x00")],
    ):
        with pytest.raises(Invalid):
            read_metadata(wrong)
