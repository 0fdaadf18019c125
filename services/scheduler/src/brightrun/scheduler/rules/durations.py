"""How long a job is expected to train."""

from brightrun.contracts.events import JobQueued

USUAL_SECONDS = 3600.0
MIN_SECONDS = 1.0


def expected_seconds(job: JobQueued) -> float:
    """What the estimate, of compute at the hourly rate, comes to."""
    compute = job.estimated_cost - job.pricing.storage
    if compute <= 0 or job.pricing.hourly_rate <= 0:
        return USUAL_SECONDS
    return max(float(compute / job.pricing.hourly_rate * 3600), MIN_SECONDS)
