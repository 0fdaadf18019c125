"""The catalogue is the truth about topics: owners, readers, documents."""

import importlib
import inspect

import pytest

from brightrun.api.jobs.live import FOLLOWED
from brightrun.contracts.events import CATALOGUE, EVENTS
from brightrun.runtime.kafka import Subscription
from tests.contracts.golden import ARCHITECTURE, TABLE_BEGIN, TABLE_END, topic_table
from tests.services.slices import subscriptions_of

SERVICES = ("api", "scheduler", "tracker", "artifacts", "notifier")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_just_the_topics_that_the_catalogue_says(service: str) -> None:
    read = {subscription.event.topic for subscription in subscriptions_of(service).values()}
    if service == "api":
        read |= FOLLOWED.keys()
    assert read == {topic.name for topic in CATALOGUE if service in topic.readers}


def test_every_topic_has_one_event_and_one_owner() -> None:
    assert len(EVENTS) == len(CATALOGUE)
    for topic in CATALOGUE:
        assert f"Owner: {topic.owner}." in (topic.event.__doc__ or ""), topic.name
        assert topic.owner in SERVICES


def test_architecture_md_shows_the_catalogue() -> None:
    _, rest = ARCHITECTURE.read_text().split(TABLE_BEGIN)
    assert rest.split(TABLE_END)[0].strip() == topic_table(), "run `python -m tests.contracts.golden`"


def test_every_subscriber_is_composed_into_its_service() -> None:
    for service in SERVICES:
        main = importlib.import_module(f"brightrun.{service}.main")
        text, subscribers = inspect.getsource(main), main.subscribers
        if composed := getattr(subscribers, "SUBSCRIPTIONS", None):
            assert "*subscribers.SUBSCRIPTIONS" in text, f"{service} does not compose its subscriptions"
            assert {subscription.event for subscription in composed} == subscriptions_of(service).keys()
        for name, value in vars(subscribers).items():
            if isinstance(value, Subscription) and not composed:
                assert f"subscribers.{name}" in text, f"{service} does not compose {name}"
