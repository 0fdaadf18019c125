"""What the routes work with, and who may use them."""

import hmac
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from brightrun.cluster import queries
from brightrun.cluster.executor import Executor
from brightrun.cluster.facilities import Facilities
from brightrun.cluster.models import Room
from brightrun.cluster.run_folder import RunFolder
from brightrun.cluster.settings import Settings
from brightrun.cluster.store import Store
from brightrun.cluster.supervisor import Supervisor
from brightrun.runtime.errors import Unauthorized


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the routes work with; `app.state.cluster`."""

    facilities: Facilities
    supervisor: Supervisor

    @property
    def settings(self) -> Settings:
        """The cluster's settings."""
        return self.facilities.settings

    @property
    def store(self) -> Store:
        """The cluster's database."""
        return self.facilities.store

    @property
    def executor(self) -> Executor:
        """What starts trainers."""
        return self.facilities.executor

    @property
    def key(self) -> str:
        """The bearer key."""
        return self.settings.cluster_key.get_secret_value()

    def folder(self, run_id: str) -> RunFolder:
        """Where a run works."""
        return self.facilities.folder(run_id)

    async def room(self) -> Room:
        """What is left of the machine."""
        return self.facilities.room(await self.store.read(queries.count_live))


async def _cluster(request: Request) -> Cluster:
    return cast("Cluster", request.app.state.cluster)


ClusterOf = Annotated[Cluster, Depends(_cluster)]


async def check_key(request: Request, cluster: ClusterOf) -> None:
    """Raises Unauthorized unless the request brings the cluster's key."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(key.encode(), cluster.key.encode()):
        raise Unauthorized
