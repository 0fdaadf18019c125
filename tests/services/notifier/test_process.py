"""The whole service as a process: a fact goes in by Kafka and comes out at a receiver."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from brightrun.contracts.events import CATALOGUE
from brightrun.contracts.values import new_id
from brightrun.local.engines import Postgres, TansuBroker
from brightrun.runtime.database import Pool
from brightrun.runtime.kafka import KafkaClient, ensure_topics
from brightrun.runtime.settings import KafkaSettings
from brightrun.runtime.tokens import issue
from tests.builders import artifact_ready
from tests.conftest import SECRET
from tests.services.notifier.conftest import WEBHOOK_KEY
from tests.services.notifier.receiver import Receiver
from tests.waiting import eventually

START_SECONDS = 60


@asynccontextmanager
async def notifier(postgres: Postgres, tansu: TansuBroker) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = {
        "PORT": str(port),
        "DATABASE_URL": postgres.url("notifier"),
        "KAFKA_BOOTSTRAP": tansu.bootstrap,
        "KAFKA_IDEMPOTENCE": "false",
        "KAFKA_FETCH_WAIT_MS": "20",
        "KAFKA_SESSION_MS": "2000",
        "SERVICE_SECRET": SECRET,
        "WEBHOOK_KEY": WEBHOOK_KEY,
        "WEBHOOK_PRIVATE_HOSTS": "127.0.0.1",
    }
    environment = os.environ | {f"BRIGHTRUN_{name}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "brightrun.notifier.main", env=environment)
    url = f"http://127.0.0.1:{port}"

    async def ready() -> bool:
        assert process.returncode is None
        async with httpx.AsyncClient(timeout=5) as anyone:
            try:
                return (await anyone.get(f"{url}/ready")).is_success
            except httpx.TransportError:
                return False

    try:
        await eventually(ready, within=START_SECONDS)
        yield url
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 30)


async def test_a_completed_job_is_delivered_to_its_owners_webhook(
    pool: Pool, postgres: Postgres, tansu: TansuBroker, receiver: Receiver
):
    job = artifact_ready(user_id=new_id())
    async with notifier(postgres, tansu) as url:
        headers = {"authorization": f"Bearer {issue(SECRET, 'api', 'notifier', job.user_id)}"}
        async with httpx.AsyncClient(base_url=url, headers=headers) as client:
            made = (await client.post("/webhooks", json={"url": receiver.url})).json()["data"]
        kafka = KafkaSettings(kafka_bootstrap=tansu.bootstrap, kafka_idempotence=False)
        await ensure_topics(kafka, CATALOGUE)
        bus = KafkaClient(kafka, "artifacts")
        await bus.start()
        await bus.publish([job, job])
        await bus.stop()

        async def received() -> bool:
            return bool(receiver.received)

        await eventually(received, within=START_SECONDS)

    [event] = [request.unwrap(made["secret"]) for request in receiver.received]
    assert (event.type, event.data.id) == ("fine_tuning.job.succeeded", f"ftjob-{job.job_id.hex}")
    assert await pool.fetchval("SELECT count(*) FROM webhook_deliveries WHERE status = 'delivered'") == 1
