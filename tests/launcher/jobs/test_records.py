"""States and counters of jobs."""

from __future__ import annotations

from launcher import (
    JobState,
    RowCounts,
)
from launcher.google.rest import from_rest
from launcher.jobs.records import Job, Metric


def counter(name, value, *, namespace="flexpack", step="predict", tentative=False):
    context = {"namespace": namespace, "step": step}
    if tentative:
        context["tentative"] = "true"
    return {"name": {"origin": "user", "name": name, "context": context}, "scalar": value}


def test_states_are_those_of_the_service(schemas):
    assert {state.value for state in JobState} == set(
        schemas.properties("Job")["currentState"]["enum"]
    )


def test_terminal_and_success():
    terminal = {state.name for state in JobState if state.is_terminal}
    success = {state.name for state in JobState if state.is_success}
    assert terminal == {"DONE", "UPDATED", "DRAINED", "FAILED", "CANCELLED"}
    assert success == {"DONE", "UPDATED", "DRAINED"}


def test_a_state_of_the_future_is_unknown():
    job = from_rest(Job, {"id": "1", "currentState": "JOB_STATE_TELEPORTED"})
    assert job.current_state is JobState.UNKNOWN


def test_row_counts_take_committed_counters_of_all_steps_in_the_kits_namespace():
    metrics = [
        counter("rows_read", 3, step="a"),
        counter("rows_read", "4", step="b"),
        counter("rows_read", 9, step="a", tentative=True),
        counter("predictions", 6),
        counter("dead_letters", 1),
        counter("rows_read", 100, namespace="mine"),
        {"name": {"origin": "dataflow/v1b3", "name": "ElementCount", "context": {}}, "scalar": 1},
    ]
    counts = RowCounts.from_metrics(from_rest(Metric, metric) for metric in metrics)
    assert counts == RowCounts(rows_read=7, predictions=6, dead_letters=1)
