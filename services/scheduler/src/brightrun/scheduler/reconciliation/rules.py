"""Which runs of a cluster are orphans."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from brightrun.contracts.cluster_api import RunSummary
from brightrun.scheduler.models import Key
from brightrun.scheduler.reconciliation.models import Owner
from brightrun.scheduler.states import ACCEPT_ATTEMPT, AttemptState

GRACE = timedelta(seconds=30)
"""An orphan of an unknown job is stopped when it has been one for so long; younger attempts are not missed."""


def is_owned(cluster: str, run: RunSummary, owner: Owner | None) -> bool:
    """Whether the run is that of an attempt that is live, or that may become live with it."""
    if owner is None or owner.cluster != cluster or owner.job_over:
        return False
    if owner.state == AttemptState.LIVE:
        return owner.external_job_id == run.external_job_id
    return owner.state in ACCEPT_ATTEMPT.sources


def orphan_runs(cluster: str, runs: Iterable[RunSummary], owners: Mapping[Key, Owner]) -> list[RunSummary]:
    """The live ones of `runs` that no attempt owns."""
    return [run for run in runs if run.live and not is_owned(cluster, run, owners.get((run.job_id, run.attempt)))]


def is_known(run: RunSummary, owners: Mapping[Key, Owner]) -> bool:
    """Whether it was submitted here: then it is stopped at once, otherwise after `GRACE`."""
    return (run.job_id, run.attempt) in owners
