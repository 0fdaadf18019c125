"""Which runs of a cluster nobody owns."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from brightrun.contracts.cluster_api import RunSummary
from brightrun.scheduler.models import Key, Owner

GRACE = timedelta(seconds=30)
"""A run that nobody has heard of is stopped when it has been one for so long; attempts are that old before they are
missed."""


def is_owned(cluster: str, run: RunSummary, owner: Owner | None) -> bool:
    """Whether the run is that of an attempt that is submitted, may have been, or runs; not of one that was given up."""
    if owner is None or owner.cluster != cluster or owner.job_over:
        return False
    match owner.state:
        case "submitting" | "given_back":
            return True
        case "live":
            return owner.external_job_id == run.external_job_id
        case _:
            return False


def strays(cluster: str, runs: Iterable[RunSummary], owners: Mapping[Key, Owner]) -> list[RunSummary]:
    """The live ones of `runs` that nobody owns."""
    return [run for run in runs if run.live and not is_owned(cluster, run, owners.get((run.job_id, run.attempt)))]


def is_ours(run: RunSummary, owners: Mapping[Key, Owner]) -> bool:
    """Whether we have ever submitted it: then it is stopped at once, otherwise when it has been there for a while."""
    return (run.job_id, run.attempt) in owners
