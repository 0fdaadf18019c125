"""States change along the transition table only, and the documentation draws it."""

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import pytest

from brightrun import scheduler
from brightrun.scheduler.states import (
    ATTEMPT_TRANSITIONS,
    JOB_TRANSITIONS,
    AttemptState,
    IllegalTransition,
    JobState,
    Transition,
)

ROOT = Path(__file__).parents[3]
TABLES = [(JobState, JOB_TRANSITIONS), (AttemptState, ATTEMPT_TRANSITIONS)]
CASES = [(transition, state) for states, table in TABLES for transition in table for state in states]
QUOTED_STATE = re.compile("'(" + "|".join({*JobState, *AttemptState}) + ")'")


@pytest.mark.parametrize(("transition", "state"), CASES)
def test_a_transition_starts_from_its_sources_only(transition: Transition, state: StrEnum) -> None:
    if state in transition.sources:
        assert transition.advance(state) is transition.target
        assert f"'{state}'" in transition.allowed
    else:
        with pytest.raises(IllegalTransition):
            transition.advance(state)
        assert f"'{state}'" not in transition.allowed


@pytest.mark.parametrize(("states", "table"), TABLES)
def test_nothing_leaves_the_terminal_state_and_everything_can_reach_it(states, table: Sequence[Transition]) -> None:
    assert not [transition for transition in table if states.OVER in transition.sources]
    [end] = [transition for transition in table if transition.name == "end"]
    assert set(end.sources) == set(states) - {states.OVER}


@pytest.mark.parametrize(("heading", "table"), [("Jobs", JOB_TRANSITIONS), ("Attempts", ATTEMPT_TRANSITIONS)])
def test_the_diagram_is_the_table(heading: str, table: Sequence[Transition]) -> None:
    section = (ROOT / "docs/scheduling.md").read_text().split(f"### {heading}\n")[1].split("```")[1]
    drawn = re.findall(r"^ +(\w+) --> (\w+): (.+)$", section, re.MULTILINE)
    expected = {(source, transition.target, transition.name) for transition in table for source in transition.sources}
    assert set(drawn) == expected
    assert len(drawn) == len(expected)


def test_no_other_module_writes_the_name_of_a_state() -> None:
    package = Path(scheduler.__path__[0])
    modules = [path for path in package.rglob("*.py") if path.name != "states.py"]
    assert [path.name for path in modules if QUOTED_STATE.search(path.read_text())] == []
