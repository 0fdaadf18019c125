"""The embedded engines: PostgreSQL, an S3 store and a Kafka broker, from wheels, as subprocesses of ours."""

from brightrun.local.engines.broker import ApacheKafka, Broker, ExternalKafka, TansuBroker
from brightrun.local.engines.object_store import ObjectStore
from brightrun.local.engines.postgres import ROLES, Postgres

__all__ = ["ROLES", "ApacheKafka", "Broker", "ExternalKafka", "ObjectStore", "Postgres", "TansuBroker"]
