"""What a platform has recorded, read from the records themselves and not from what its services say."""

import asyncio
import hashlib
import json
import sqlite3
import struct
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from minio import Minio

from brightrun.contracts.public_ids import EVENT, write_id
from brightrun.local.engines import ROLES, ObjectStore
from tests.flows.live_platform import LivePlatform
from tests.kafka import read_all_topics

Row = dict[str, Any]

BUCKETS = ("lora-datasets", "lora-models")
TABLES = {
    "jobs": ("api", "SELECT id, user_id, status, cancel_requested_at IS NOT NULL AS cancelled FROM jobs"),
    "queue": ("scheduler", "SELECT job_id, state FROM queue"),
    "attempts": (
        "scheduler",
        """
        SELECT job_id, attempt, external_job_id, state,
               coalesce(outcome = 'lost' OR stop_decided_at = accepted_at, false) AS late
        FROM attempts
        """,
    ),
    "chunks": ("tracker", "SELECT job_id, attempt, seq, step, training_loss FROM metric_chunks"),
    "log": ("tracker", "SELECT job_id, id, type FROM job_events"),
    "costs": ("tracker", "SELECT job_id, attempt, cost_type, amount FROM cost_records"),
    "datasets": ("artifacts", "SELECT id, user_id, size, sha256, status FROM datasets"),
    "models": ("artifacts", "SELECT id, job_id, user_id, status FROM models WHERE step IS NULL"),
    "model_files": (
        "artifacts",
        "SELECT model_id, user_id, f.name, size, sha256 FROM model_files f JOIN models ON models.id = model_id",
    ),
    "notifications": ("notifier", "SELECT source_event_id, user_id, type FROM notifications"),
    "endpoints": ("notifier", "SELECT id, user_id, url FROM webhook_endpoints"),
    "deliveries": ("notifier", "SELECT endpoint_id, event_id, status FROM webhook_deliveries"),
}


@dataclass(frozen=True)
class Ledgers:
    """The rows of each ledger, and how many faults there were: some allow a repetition.

    Of the clients: accepted jobs (`client`) and webhooks (`sink`). Of the cluster: `runs` and their events
    (`emitted`). Of Kafka: `records`. Of the object store: `objects`. The others are tables; `discards` names objects
    that no row has to name.
    """

    rows: dict[str, list[Row]]
    discards: list[Row] = field(default_factory=list)
    faults: int = 0

    def __getitem__(self, name: str) -> list[Row]:
        return self.rows[name]


def read(platform: LivePlatform, client: Sequence[Row], sink: Sequence[Row], faults: int) -> Ledgers:
    """Read every ledger."""
    rows = {name: platform.rows(role, query) for name, (role, query) in TABLES.items()}
    for chunk in rows["chunks"]:
        steps, losses = (_unpack(chunk.pop(name)) for name in ("step", "training_loss"))
        chunk["points"] = tuple(zip(steps, losses, strict=True))
    rows["outbox"] = [
        row | {"service": role} for role in ROLES for row in platform.rows(role, "SELECT topic, key FROM outbox")
    ]
    rows["client"], rows["sink"] = list(client), list(sink)
    rows["runs"], rows["emitted"] = _cluster(platform)
    rows["records"] = [
        {"topic": record.topic, "body": json.loads(record.value)}
        for record in asyncio.run(read_all_topics(platform.programs.broker.bootstrap))
    ]
    rows["objects"] = _objects(platform.programs.store)
    discards = platform.rows("artifacts", "SELECT bucket, prefix FROM discards")
    return Ledgers(rows, discards, faults)


def webhook_id(event_id: Any) -> str:
    """The id that a webhook's receiver is told."""
    return write_id(EVENT, event_id)


def _unpack(packed: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(packed) // 8}d", packed)


def _cluster(platform: LivePlatform) -> tuple[list[Row], list[Row]]:
    with closing(sqlite3.connect(platform.home / "cluster" / "cluster.db")) as database:
        runs = [json.loads(text)["status"] for (text,) in database.execute("SELECT run FROM runs")]
        events = [json.loads(text) for (text,) in database.execute("SELECT event FROM events ORDER BY cursor")]
    emitted = [
        {
            **{name: event["run"][name] for name in ("job_id", "attempt", "status")},
            **{name: event[name] for name in ("event_id", "seq")},
            "points": tuple((point["step"], point["training_loss"]) for point in event["points"]),
        }
        for event in events
    ]
    return runs, emitted


def _objects(store: ObjectStore) -> list[Row]:
    client = Minio(store.address, store.access_key, store.secret_key, secure=False, region=store.region)
    rows = []
    for bucket in BUCKETS:
        for listed in client.list_objects(bucket, recursive=True):
            assert listed.object_name is not None
            response = client.get_object(bucket, listed.object_name)
            with closing(response):
                content = response.read()
            digest = hashlib.sha256(content).hexdigest()
            rows.append({"bucket": bucket, "key": listed.object_name, "size": len(content), "sha256": digest})
    return rows
