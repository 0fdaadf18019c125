"""Results files, rendered from a job's metrics on every read."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

from brightrun.api.http.clients import ServiceClients
from brightrun.api.jobs import queries as jobs
from brightrun.api.jobs import tracker
from brightrun.api.openai import queries
from brightrun.api.openai.queries import FinishedJob
from brightrun.api.openai.rules.files import File, header, of_results, rows
from brightrun.contracts.values import utc_now
from brightrun.runtime.database import Pool, transaction

STEPS_PER_READ = 4000
POINTS_PER_READ = 10_000
"""More than one for each step, so that the tracker does not downsample."""
SETTLED = timedelta(minutes=5)
"""After this time since its end, all metrics of a job are stored."""


async def read(pool: Pool, clients: ServiceClients, user_id: UUID, job_id: UUID) -> AsyncIterator[str]:
    """The file as CSV, in pieces."""
    job = await jobs.find_job(pool, user_id, job_id)
    last = max(job.planned_steps, job.latest.step if job.latest else 0) if job else 0
    piece = header()
    for first in range(0, last + 1, STEPS_PER_READ):
        window = {"from": first, "to": first + STEPS_PER_READ - 1, "max_points": POINTS_PER_READ}
        yield piece + rows(await tracker.fetch_metrics(clients.tracker, user_id, job_id, **window))
        piece = ""


async def describe(pool: Pool, clients: ServiceClients, user_id: UUID, job: FinishedJob) -> File:
    """The file's description; its size requires rendering it once."""
    size = job.results_size
    if size is None:
        size = sum([len(piece) async for piece in read(pool, clients, user_id, job.id)])
        if utc_now() - job.finished_at > SETTLED:
            async with transaction(pool) as conn:
                await queries.save_size(conn, job.id, size)
    return of_results(job.id, job.finished_at, size)
