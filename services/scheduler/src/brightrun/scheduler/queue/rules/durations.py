"""How long a job is expected to train."""

from brightrun.contracts.events import JobQueued

DEFAULT_SECONDS = 3600.0
MIN_SECONDS = 1.0


def expected_seconds(job: JobQueued) -> float:
    """The estimated cost of compute, divided by the hourly rate."""
    compute = job.estimated_cost - job.pricing.storage
    if compute <= 0 or job.pricing.hourly_rate <= 0:
        return DEFAULT_SECONDS
    return max(float(compute / job.pricing.hourly_rate * 3600), MIN_SECONDS)
