"""Bodies of the scheduler's administration; their fields are in contracts, shared with the scheduler."""

from pydantic import BaseModel

from brightrun.api.http.bodies import Body, example
from brightrun.contracts import scheduling


class Clusters(BaseModel):
    """Every cluster that was ever used."""

    clusters: list[scheduling.Cluster]


class SetShare(scheduling.SetShare, Body):
    """A user's share of the GPUs; omitted fields get the defaults of new users.

    `weight`: twice the weight gets twice the GPU time while both users have jobs waiting. Without `quota_gpus` the
    installation's quota holds.
    """

    model_config = example({"weight": 2, "quota_gpus": 8})


class ChangePriority(scheduling.ChangePriority, Body):
    """`low`, `normal` and `high` order a user's own jobs; `urgent` goes before everybody's."""

    model_config = example({"priority": "urgent"})
