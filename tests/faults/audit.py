"""The rules that every platform's ledgers obey once it is quiet. Pure."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import get_args

from brightrun.contracts.events import JobCompleted, Pricing
from brightrun.notifier.rules.notification_templates import NotifiableEvent
from tests.faults.clients import TERMINAL
from tests.faults.ledgers import Ledgers, Row, webhook_id

LIVE = ("initializing", "running")
NOTIFIED = {event.topic for event in get_args(NotifiableEvent)}


def breaches(ledgers: Ledgers) -> list[str]:
    """Every difference between two ledgers; none when all agree."""
    events = _distinct(ledgers["records"])
    return [
        *_unpublished(ledgers),
        *_repeated_records(ledgers),
        *_jobs(ledgers, events),
        *_runs(ledgers, events),
        *_points(ledgers, events),
        *_costs(ledgers, events),
        *_artifacts(ledgers, events),
        *_notifications(ledgers, events),
        *_webhooks(ledgers),
    ]


def _unpublished(ledgers: Ledgers) -> Iterator[str]:
    for row in ledgers["outbox"]:
        yield f"unpublished: {row['topic']} of {row['key']} in the outbox of {row['service']}"
    for row in ledgers["records"]:
        if row["topic"].endswith(".dead"):
            yield f"dead letter in {row['topic']}: {row['body'].get('event_id')}"


def _repeated_records(ledgers: Ledgers) -> Iterator[str]:
    """A relay that dies after it has sent an event sends it again, with the same id and content."""
    bodies: dict[str, list[Row]] = {}
    for row in ledgers["records"]:
        bodies.setdefault(row["body"]["event_id"], []).append(row["body"])
    for event_id, copies in bodies.items():
        if any(copy != copies[0] for copy in copies):
            yield f"records of event {event_id} differ"
        if len(copies) > 1 and not ledgers.faults:
            yield f"{len(copies)} records of event {event_id}, though nothing failed"


def _jobs(ledgers: Ledgers, events: dict[str, list[Row]]) -> Iterator[str]:
    accepted = [row["job_id"] for row in ledgers["client"]]
    yield from _compare("accepted jobs and jobs", accepted, _texts(ledgers["jobs"], "id"))
    yield from _compare("accepted jobs and queue", accepted, _texts(ledgers["queue"], "job_id"))
    yield from _compare("accepted jobs and job.queued", accepted, _texts(events["job.queued"], "job_id"))
    yield from _compare("keys of accepted jobs", sorted({row["key"] for row in ledgers["client"]}), _keys(ledgers))
    ends = [(event["job_id"], event["outcome"]) for event in events["job.completed"]]
    yield from _compare("job.completed and jobs", ends, [(str(row["id"]), row["status"]) for row in ledgers["jobs"]])
    cancelled = [str(row["id"]) for row in ledgers["jobs"] if row["cancelled"]]
    yield from _compare(
        "cancelled jobs and job.cancel_requested", cancelled, _texts(events["job.cancel_requested"], "job_id")
    )
    log = [(str(row["job_id"]), row["id"], row["type"]) for row in ledgers["log"]]
    logged = [(event["job_id"], event["id"], event["type"]) for event in events["job.logged"]]
    yield from _compare("log and job.logged", log, logged)
    for row in ledgers["queue"]:
        if row["state"] != "over":
            yield f"job {row['job_id']} is {row['state']} in the queue"
    for row in ledgers["jobs"]:
        if row["status"] not in TERMINAL:
            yield f"job {row['id']} is {row['status']}"


def _keys(ledgers: Ledgers) -> list[str]:
    return [row["key"] for row in ledgers["client"]]


def _runs(ledgers: Ledgers, events: dict[str, list[Row]]) -> Iterator[str]:
    runs = [(row["job_id"], row["attempt"], row["external_job_id"]) for row in ledgers["runs"]]
    attempts = [
        (str(row["job_id"]), row["attempt"], row["external_job_id"])
        for row in ledgers["attempts"]
        if row["external_job_id"]
    ]
    yield from _compare("runs of the cluster and attempts", runs, attempts)
    yield from _compare("attempts", sorted({_attempt(row) for row in ledgers["attempts"]}), _attempts(ledgers))
    started = [(row["job_id"], row["attempt"], row["external_job_id"]) for row in events["job.started"]]
    # A run that a cluster accepted when its job was over already, or its attempt given up, starts nothing.
    late = [(str(row["job_id"]), row["attempt"], row["external_job_id"]) for row in ledgers["attempts"] if row["late"]]
    due = [run for run in attempts if run not in late or run in started]
    yield from _compare("job.started and attempts", started, due)
    for row in ledgers["runs"]:
        if row["status"] not in TERMINAL:
            yield f"run {row['external_job_id']} of job {row['job_id']} is {row['status']}"
    completed = Counter(row["job_id"] for row in ledgers["runs"] if row["status"] == "completed")
    yield from (f"{runs} completed runs of job {job}" for job, runs in completed.items() if runs > 1)


def _attempt(row: Row) -> tuple[str, int]:
    return str(row["job_id"]), row["attempt"]


def _attempts(ledgers: Ledgers) -> list[tuple[str, int]]:
    return [_attempt(row) for row in ledgers["attempts"]]


def _points(ledgers: Ledgers, events: dict[str, list[Row]]) -> Iterator[str]:
    emitted = [(*_attempt(row), row["seq"], row["points"]) for row in ledgers["emitted"] if row["points"]]
    stored = [(*_attempt(row), row["seq"], row["points"]) for row in ledgers["chunks"]]
    yield from _compare("points emitted and stored", emitted, stored)
    progress = [row["event_id"] for row in ledgers["emitted"] if row["points"] or row["status"] in LIVE]
    yield from _compare("events of runs and job.progress", progress, _texts(events["job.progress"], "event_id"))
    seqs = [(*_attempt(row), row["seq"]) for row in ledgers["emitted"]]
    last = Counter((job_id, attempt) for job_id, attempt, _ in seqs)
    whole = [(*run, seq) for run, count in last.items() for seq in range(1, count + 1)]
    yield from _compare("events of runs and their numbers", seqs, whole)
    ended = [_attempt(row) for row in ledgers["emitted"] if row["status"] in TERMINAL]
    yield from _compare("runs and their last events", [_attempt(row) for row in ledgers["runs"]], ended)


def _costs(ledgers: Ledgers, events: dict[str, list[Row]]) -> Iterator[str]:
    """Rate × time, of the times that the cluster recorded."""
    runs = {_attempt(row): row for row in ledgers["runs"]}
    expected: list[Hashable] = []
    for body in events["job.completed"]:
        event = JobCompleted.model_validate(body)
        for segment in event.billed:
            cost = event.pricing.compute_cost(segment.started_at, segment.finished_at)
            expected.append((str(event.job_id), segment.attempt, "compute", cost))
            run = runs.get((str(event.job_id), segment.attempt))
            held = (segment.started_at, segment.released_at or segment.finished_at)
            if run is None or held != tuple(datetime.fromisoformat(run[n]) for n in ("started_at", "finished_at")):
                yield f"job {event.job_id} is billed for other times than those of its run"
    expected += [
        (event["job_id"], 0, "storage", Pricing.model_validate(event["pricing"]).storage)
        for event in events["artifact.ready"]
    ]
    recorded = [(*_attempt(row), row["cost_type"], row["amount"]) for row in ledgers["costs"]]
    yield from _compare("costs due and recorded", expected, recorded)
    billed: dict[str, Decimal] = defaultdict(Decimal)
    for row in ledgers["costs"]:
        billed[str(row["job_id"])] += row["amount"]
    for row in ledgers["client"]:
        if row["max_cost"] is not None and billed[row["job_id"]] > Decimal(str(row["max_cost"])):
            yield f"job {row['job_id']} is billed {billed[row['job_id']]}, more than its limit of {row['max_cost']}"


def _artifacts(ledgers: Ledgers, events: dict[str, list[Row]]) -> Iterator[str]:
    completed = [str(row["id"]) for row in ledgers["jobs"] if row["status"] == "completed"]
    yield from _compare("completed jobs and models", completed, _texts(ledgers["models"], "job_id"))
    ready = [(event["job_id"], event["artifact_id"]) for event in events["artifact.ready"]]
    models = [(str(row["job_id"]), str(row["id"])) for row in ledgers["models"] if row["status"] == "stored"]
    yield from _compare("artifact.ready and stored models", ready, models)
    validated = [(event["dataset_id"], event["status"]) for event in events["dataset.validated"]]
    datasets = [(str(row["id"]), row["status"]) for row in ledgers["datasets"]]
    yield from _compare("dataset.validated and data sets", validated, datasets)
    named = [
        ("lora-models", f"{row['user_id']}/{row['model_id']}/{row['name']}", row["size"], row["sha256"])
        for row in ledgers["model_files"]
    ] + [
        ("lora-datasets", f"{row['user_id']}/{row['id']}/data.jsonl", row["size"], row["sha256"])
        for row in ledgers["datasets"]
    ]
    objects = [
        (row["bucket"], row["key"], row["size"], row["sha256"])
        for row in ledgers["objects"]
        if not any(row["bucket"] == d["bucket"] and row["key"].startswith(d["prefix"]) for d in ledgers.discards)
    ]
    yield from _compare("files in tables and objects", named, objects)


def _notifications(ledgers: Ledgers, events: dict[str, list[Row]]) -> Iterator[str]:
    expected = [event["event_id"] for topic in NOTIFIED for event in events[topic]]
    yield from _compare("events and notifications", expected, _texts(ledgers["notifications"], "source_event_id"))


def _webhooks(ledgers: Ledgers) -> Iterator[str]:
    """An endpoint whose path is `/hang` need not have answered."""
    owned: dict[str, list[str]] = {}
    for row in ledgers["endpoints"]:
        owned.setdefault(str(row["user_id"]), []).append(str(row["id"]))
    expected = [
        (endpoint, str(row["source_event_id"]))
        for row in ledgers["notifications"]
        for endpoint in owned.get(str(row["user_id"]), ())
    ]
    planned = [(str(row["endpoint_id"]), str(row["event_id"])) for row in ledgers["deliveries"]]
    yield from _compare("notifications and webhook deliveries", expected, planned)
    hanging = {str(row["id"]) for row in ledgers["endpoints"] if row["url"].endswith("/hang")}
    due = [row for row in ledgers["deliveries"] if str(row["endpoint_id"]) not in hanging]
    yield from (f"webhook {row['event_id']} is {row['status']}" for row in due if row["status"] != "delivered")
    received = [row["id"] for row in ledgers["sink"]]
    if ledgers.faults:  # a sender that dies before it has recorded the response sends again
        received = list(set(received))
    yield from _compare("webhooks delivered and received", [webhook_id(row["event_id"]) for row in due], received)


class _Events(dict[str, list[Row]]):
    def __missing__(self, topic: str) -> list[Row]:
        return []


def _distinct(records: Iterable[Row]) -> dict[str, list[Row]]:
    """The events of each topic, each once."""
    events: dict[str, dict[str, Row]] = {}
    for row in records:
        events.setdefault(row["topic"], {})[row["body"]["event_id"]] = row["body"]
    return _Events({topic: list(bodies.values()) for topic, bodies in events.items()})


def _texts(rows: Iterable[Row], column: str) -> list[str]:
    return [str(row[column]) for row in rows]


def _compare(what: str, left: Iterable[Hashable], right: Iterable[Hashable]) -> Iterator[str]:
    first, second = Counter(left), Counter(right)
    yield from (f"{what}: only in the first, {count} times: {row}" for row, count in (first - second).items())
    yield from (f"{what}: only in the second, {count} times: {row}" for row, count in (second - first).items())
