"""What a page of a cluster's stream means."""

from hypothesis import given
from hypothesis import strategies as st

from brightrun.contracts.cluster_api import RunEvent, RunStatus
from brightrun.contracts.job_status import TERMINAL, JobStatus
from brightrun.contracts.training import MetricPoint
from brightrun.contracts.values import new_id
from brightrun.scheduler.models import Attempt
from brightrun.scheduler.observation.rules import stream
from brightrun.scheduler.states import AttemptState
from tests.builders import NOON, job_queued

OURS = [job_queued(), job_queued()]
ATTEMPTS = {
    attempt.key: attempt
    for job in OURS
    for attempt in (
        Attempt(job.job_id, job.user_id, 1, "local", fence=1, state=AttemptState.OVER, external_job_id="run-1"),
        Attempt(job.job_id, job.user_id, 2, "local", fence=1, state=AttemptState.SUBMITTING, external_job_id=None),
        Attempt(job.job_id, job.user_id, 3, "local", fence=1, state=AttemptState.GIVEN_BACK, external_job_id=None),
    )
}
JOB_IDS = [*(job.job_id for job in OURS), new_id()]
POINTS = tuple(MetricPoint(step=step, epoch=0.1, training_loss=1.0) for step in range(3))


def event(job_id=JOB_IDS[0], attempt=1, status="running", points=(), seq=1, **state) -> RunEvent:
    values = {"external_job_id": "run-1", "stage": "training", "progress": 5.0}
    run = RunStatus(job_id=job_id, attempt=attempt, status=status, **values | state)
    return RunEvent(cursor=seq, event_id=new_id(), at=NOON, seq=seq, run=run, points=points)


EVENTS = st.builds(
    event,
    job_id=st.sampled_from(JOB_IDS),
    attempt=st.integers(1, 4),
    status=st.sampled_from(["queued", "initializing", "running", "completed", "failed", "cancelled"]),
    points=st.sampled_from([POINTS[:count] for count in range(4)]),
    seq=st.integers(1, 10**6),
    progress=st.floats(0, 100),
)
PAGES = st.lists(EVENTS, max_size=20)


@given(PAGES)
def test_every_point_of_our_runs_is_published_once_under_its_event_s_id(page: list[RunEvent]) -> None:
    expected = [(event.event_id, event.points) for event in page if _is_ours(event) and event.points]
    published = stream.progress_of(page, ATTEMPTS)
    assert [(one.event_id, one.points) for one in published if one.points] == expected


@given(PAGES)
def test_every_event_of_our_runs_is_progress_or_an_end(page: list[RunEvent]) -> None:
    progress = {one.event_id for one in stream.progress_of(page, ATTEMPTS)}
    ends = [run for _, run in stream.ended_by(page, ATTEMPTS)]
    assert [one.run for one in page if _is_ours(one) and one.run.status in TERMINAL] == ends
    assert {one.event_id for one in page if _is_ours(one) and one.run.status not in TERMINAL} <= progress


@given(PAGES)
def test_progress_names_its_user_and_run(page: list[RunEvent]) -> None:
    events = {one.event_id: one for one in page}
    for progress in stream.progress_of(page, ATTEMPTS):
        source = events[progress.event_id]
        owner = ATTEMPTS[source.run.job_id, source.run.attempt].user_id
        assert (progress.job_id, progress.attempt, progress.seq) == (source.run.job_id, source.run.attempt, source.seq)
        assert (progress.user_id, progress.occurred_at, progress.percent) == (owner, source.at, source.run.progress)
        assert progress.status is (
            JobStatus.INITIALIZING if source.run.status in ("queued", "initializing") else JobStatus.RUNNING
        )


@given(PAGES)
def test_an_unanswered_attempt_is_accepted_once_and_an_answered_one_never(page: list[RunEvent]) -> None:
    adopted = [attempt.key for attempt, _ in stream.accepted_by(page, ATTEMPTS)]
    assert len(adopted) == len(set(adopted))
    assert set(adopted) == {
        (one.run.job_id, one.run.attempt) for one in page if _is_ours(one) and one.run.attempt in (2, 3)
    }


def _is_ours(event: RunEvent) -> bool:
    return (event.run.job_id, event.run.attempt) in ATTEMPTS
