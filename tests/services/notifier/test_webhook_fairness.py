"""Receivers that hang delay nobody else's events."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from uuid import UUID

import pytest
import pytest_asyncio
from starlette.types import Message, Receive, Scope, Send

from brightrun.contracts.values import new_id
from brightrun.contracts.webhooks import MAX_WEBHOOKS
from brightrun.notifier import loops
from brightrun.notifier.loops import CONCURRENT, CONCURRENT_OF_USER, CONCURRENT_TO_FAILING, Dispatcher
from brightrun.notifier.rules.deliveries import BREAKER_FAILURES
from brightrun.notifier.secret_box import SecretBox
from brightrun.notifier.webhook_sender import WebhookSender
from brightrun.runtime.database import Pool
from brightrun.runtime.loops import Loop, stop
from tests.builders import job_queued
from tests.services import slices
from tests.services.notifier.conftest import PRIVATE_HOSTS, WEBHOOK_KEY, Webhooks, deliver
from tests.services.notifier.receiver import Receiver
from tests.waiting import eventually

HANG_SECONDS = 8.0
TO_FAILING = 2


@pytest.fixture
def sender() -> WebhookSender:
    return WebhookSender(SecretBox(WEBHOOK_KEY), PRIVATE_HOSTS, timeout_seconds=HANG_SECONDS)


class HangingReceiver(Receiver):
    """Accepts requests and answers none before the test is over."""

    def __init__(self) -> None:
        super().__init__()
        self.is_over = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def hang(message: Message) -> None:
            await self.is_over.wait()
            await send(message)

        await super().__call__(scope, receive, hang)


@pytest_asyncio.fixture
async def hanging() -> AsyncIterator[HangingReceiver]:
    receiver = HangingReceiver()
    async with slices.serve(receiver) as receiver.url:
        yield receiver
        receiver.is_over.set()


@pytest_asyncio.fixture
async def dispatching(
    pool: Pool, sender: WebhookSender, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[asyncio.Event]:
    """The loop that sends, with few places for endpoints that fail; the event wakes it."""
    monkeypatch.setattr(loops, "CONCURRENT_TO_FAILING", TO_FAILING)
    wake = asyncio.Event()
    dispatcher = Dispatcher(pool, sender, wake.set)
    loop = Loop("webhooks", dispatcher.work, 0.1, wake=wake)
    loop.start()
    yield wake
    await stop([loop])
    await dispatcher.stop()


async def test_hanging_webhooks_of_one_user_delay_nobody_else(
    webhooks_of: Callable[[UUID], Webhooks],
    hanging: HangingReceiver,
    receiver: Receiver,
    pool: Pool,
    dispatching: asyncio.Event,
):
    slow, good = webhooks_of(new_id()), webhooks_of(new_id())
    for number in range(MAX_WEBHOOKS):
        await slow.create(f"{hanging.url}/{number}")
    await good.create(receiver.url)
    await deliver(pool, *(job_queued(user_id=slow.user) for _ in range(3)))

    async def is_full() -> bool:
        return len(hanging.received) == CONCURRENT_OF_USER

    await eventually(is_full)
    began = time.monotonic()
    await deliver(pool, job_queued(user_id=good.user))
    dispatching.set()

    async def has_heard() -> bool:
        return len(receiver.received) == 1

    await eventually(has_heard)
    assert time.monotonic() - began < 2
    assert await is_full()


async def test_endpoints_that_fail_leave_room_for_those_that_work(
    webhooks_of: Callable[[UUID], Webhooks],
    hanging: HangingReceiver,
    receiver: Receiver,
    pool: Pool,
    dispatching: asyncio.Event,
):
    users = [webhooks_of(new_id()) for _ in range(4)]
    good = webhooks_of(new_id())
    for user in users:
        await user.create(hanging.url)
    await good.create(receiver.url)
    await pool.execute("UPDATE webhook_endpoints SET failing_since = now() WHERE user_id <> $1", good.user)
    await deliver(pool, *(job_queued(user_id=user.user) for user in users))

    async def is_full() -> bool:
        return len(hanging.received) == TO_FAILING

    await eventually(is_full)
    await deliver(pool, job_queued(user_id=good.user))
    dispatching.set()

    async def has_heard() -> bool:
        return len(receiver.received) == 1

    await eventually(has_heard, within=2)
    assert await is_full()
    assert CONCURRENT_TO_FAILING < CONCURRENT


async def test_an_endpoint_that_failed_in_a_row_is_left_alone(
    webhooks_of: Callable[[UUID], Webhooks], receiver: Receiver, pool: Pool
):
    user = webhooks_of(new_id())
    made = await user.create(receiver.url)
    receiver.answers = [500] * BREAKER_FAILURES
    await deliver(pool, *(job_queued(user_id=user.user) for _ in range(6)))
    assert await user.send() == BREAKER_FAILURES
    await deliver(pool, job_queued(user_id=user.user))
    assert await user.send() == 0, "what is new waits too"

    await user.change(made, enabled=False)
    await user.change(made, enabled=True)
    assert await user.send() == 7
    assert {delivery["status"] for delivery in await user.deliveries(made)} == {"delivered"}
