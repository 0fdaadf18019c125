"""Money, time and ids."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from brightrun.contracts.events import Pricing
from brightrun.contracts.training import TrainingSpec
from brightrun.contracts.values import new_id, to_cents
from tests.builders import NOON, job_completed, pricing


@given(st.decimals(0, 9_999_999, places=4))
def test_money_survives_json_exactly(amount: Decimal) -> None:
    price = Pricing(hourly_rate=amount, storage=Decimal(0))
    assert Pricing.model_validate_json(price.model_dump_json()).hourly_rate == amount
    assert f'"hourly_rate":"{amount:.4f}"' in price.model_dump_json()


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-0.01"])
def test_what_is_no_amount_is_refused(amount: str) -> None:
    with pytest.raises(ValidationError):
        Pricing(hourly_rate=Decimal(amount), storage=Decimal(0))


def test_cents_are_rounded_half_up() -> None:
    assert to_cents(Decimal("0.125")) == Decimal("0.13")
    assert to_cents(Decimal("0.1249")) == Decimal("0.12")


@given(st.decimals("0.0001", 100, places=4), st.integers(0, 10_000_000))
def test_cost_is_rate_times_time_to_four_places(rate: Decimal, milliseconds: int) -> None:
    exact = rate * milliseconds / 3_600_000
    cost = pricing(str(rate)).compute_cost(NOON, NOON + timedelta(milliseconds=milliseconds))
    assert abs(cost - exact) <= Decimal("0.00005")
    assert cost == cost.quantize(Decimal("0.0001"))


def test_a_naive_time_is_refused_and_another_zone_becomes_utc() -> None:
    with pytest.raises(ValidationError):
        job_completed(finished_at=datetime(2026, 1, 1, 12))
    event = job_completed(finished_at="2026-01-01T12:00:00+02:00")
    assert event.finished_at == datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert event.finished_at.tzinfo is UTC


def test_ids_sort_by_creation_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(ids)
    assert {value.version for value in ids} == {7}


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"rank": 3}, "rank"),
        ({"epochs": 51}, "epochs"),
        ({"learning_rate": 0.01}, "learning_rate"),
        ({"batch_size": 65}, "batch_size"),
        ({"dropout": 1.0}, "dropout"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"no_such_field": 1}, "no_such_field"),
    ],
)
def test_a_wrong_field_of_a_spec_is_named(fields: dict[str, object], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TrainingSpec.model_validate(fields)
    assert [error["loc"] for error in caught.value.errors()] == [(place,)]


@pytest.mark.parametrize("pair", [{"epochs": 1, "max_steps": 5}, {"warmup_ratio": 0.1, "warmup_steps": 5}])
def test_fields_that_contradict_each_other_are_refused(pair: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="not both"):
        TrainingSpec.model_validate(pair)


def test_a_resolved_spec_has_every_default_and_resolving_again_changes_nothing() -> None:
    resolved = TrainingSpec(rank=8).resolved()
    assert (resolved.alpha, resolved.epochs, resolved.warmup_ratio) == (16, 3, 0.03)
    assert resolved.resolved() == resolved
    assert TrainingSpec(max_steps=5).resolved().epochs is None
