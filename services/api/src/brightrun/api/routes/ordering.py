"""How both faces have a job made: once for each request, whatever the client repeats."""

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import Header
from pydantic import BaseModel

from brightrun.api import artifacts
from brightrun.api.actions import orders
from brightrun.api.clients import Clients
from brightrun.api.inputs import Told
from brightrun.api.models import Claim, Job, Order
from brightrun.api.rules import repetition
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Pool, transaction

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Chosen by you for one job: sent again within 24 hours, it gets the job that it made.",
    ),
]


def claim_of(operation: str, body: BaseModel | None, key: str | None) -> Claim:
    """What a request of `/api` is recognised by: all fields that were given, however they were written."""
    sha256 = repetition.digest(operation, body.model_dump_json(exclude_unset=True) if body else "")
    return Claim(sha256=sha256, began_at=utc_now(), key=key)


async def carry_out(pool: Pool, others: Clients, user_id: UUID, order: Order, claim: Claim) -> Job:
    """The job of the order, new or made before. No transaction is open while the artifacts service is asked."""
    async with transaction(pool) as conn:
        job = await orders.carry_out(conn, user_id, order, claim)
    if job is not None:
        return job
    told = await _ask(others, user_id, order)
    async with transaction(pool) as conn:
        job = await orders.carry_out(conn, user_id, order, claim, told)
    assert job is not None  # noqa: S101 - all was told of
    return job


async def _ask(others: Clients, user_id: UUID, order: Order) -> Told:
    """What the artifacts service says of all that the order names."""
    evaluated, start_id = order.hyperparameters.validation_dataset_id, order.hyperparameters.init_from
    dataset, validation, start = await asyncio.gather(
        artifacts.fetch_dataset(others.artifacts, user_id, order.dataset_id),
        artifacts.fetch_dataset(others.artifacts, user_id, evaluated) if evaluated else _nothing(),
        artifacts.fetch_model(others.artifacts, user_id, start_id) if start_id else _nothing(),
    )
    return Told(dataset, validation, start)


async def _nothing() -> None:
    """What is not asked for."""
