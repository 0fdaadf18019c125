"""What an answer about a run's status changes."""

from brightrun.runtime import outbox
from brightrun.runtime.database import Connection
from brightrun.scheduler.actions import runs
from brightrun.scheduler.queries.polling import Due, save_poll
from brightrun.scheduler.rules import polling
from brightrun.scheduler.rules.polling import Heard
from brightrun.scheduler.rules.runs import progress_of


async def apply_answer(conn: Connection, due: Due, heard: Heard, live: int, most_attempts: int) -> None:
    """Write down what was heard, unless somebody else has: the run's next event is made once."""
    pause = polling.pause(heard.polled, live, ending=due.ending)
    if not await save_poll(conn, due, heard.polled, pause):
        return
    if heard.event:
        for progress in progress_of([heard.event], {due.attempt.key: due.attempt}):
            await outbox.add(conn, progress)
        await runs.apply_events(conn, due.attempt.cluster, [heard.event], most_attempts)
    if heard.lost:
        await runs.lose(conn, due.attempt, heard.lost, most_attempts)
