"""The table of transitions."""

from __future__ import annotations

import pytest

from launcher.emulator.runtime.states import (
    TRANSITIONS,
    IllegalTransitionError,
    JobState,
    check_transition,
)
from launcher.emulator.service.discovery import load_discovery


def test_states_are_the_documents() -> None:
    parse = load_discovery().messages.parse
    assert all(parse("Job", {"currentState": state.value}) for state in JobState)
    assert set(TRANSITIONS) == set(JobState)


def test_terminal_states() -> None:
    assert {state for state in JobState if state.is_terminal} == {
        JobState.DONE,
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.DRAINED,
    }


def test_every_job_can_end() -> None:
    for state in JobState:
        if not state.is_terminal:
            assert JobState.FAILED in TRANSITIONS[state]


@pytest.mark.parametrize(
    ("current", "wanted"),
    [
        (JobState.DONE, JobState.RUNNING),
        (JobState.QUEUED, JobState.DONE),
        (JobState.CANCELLING, JobState.DONE),
        (JobState.RUNNING, JobState.RUNNING),
    ],
)
def test_what_the_table_does_not_have_is_refused(current: JobState, wanted: JobState) -> None:
    with pytest.raises(IllegalTransitionError, match=f"from {current} to {wanted}"):
        check_transition("id", current, wanted)
