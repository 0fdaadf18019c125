"""How jobs go on, as others tell."""

from collections import defaultdict
from collections.abc import Sequence
from functools import reduce
from uuid import UUID

from brightrun.api.models import Job
from brightrun.api.queries import jobs
from brightrun.api.rules import course
from brightrun.contracts.events import JobEvent
from brightrun.runtime.database import Connection


async def move_jobs(conn: Connection, events: Sequence[JobEvent]) -> None:
    """Move the jobs that `events` are about; each is locked meanwhile, so that readers of other topics wait."""
    by_job: dict[UUID, list[JobEvent]] = defaultdict(list)
    for event in events:
        by_job[event.job_id].append(event)
    moved = [_move(job, by_job[job.id]) for job in await jobs.lock_jobs(conn, list(by_job))]
    await jobs.save_courses(conn, moved)


def _move(job: Job, events: Sequence[JobEvent]) -> Job:
    return reduce(course.move, events, job)
