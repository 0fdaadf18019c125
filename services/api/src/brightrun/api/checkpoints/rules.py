"""Decisions about checkpoints: until when one can be had."""

from collections.abc import Mapping
from datetime import datetime

from brightrun.api.checkpoints.models import Availability, Copy


def availability(step: int, on_cluster: Mapping[int, datetime | None] | None, copy: Copy | None) -> Availability:
    """`on_cluster`: the steps whose checkpoints their run has, and until when; None if the cluster does not answer."""
    stored = copy is not None and copy.stored
    kept = on_cluster is not None and step in on_cluster
    if not (stored or kept):
        return Availability(None if on_cluster is None else False)
    ends = [copy.expires_at] if copy and stored else []
    if on_cluster and (kept_until := on_cluster.get(step)):
        ends.append(kept_until)
    return Availability(True, max(ends, default=None), copy.model_id if copy and stored else None)
