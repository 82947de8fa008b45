"""Facts about jobs that are not in Google's API."""

from __future__ import annotations

import pytest

from launcher.emulator.runtime.events import Importance, MessageEvent, MetricsEvent, UsageEvent
from launcher.emulator.service.history import _MOST_SAMPLES, JobHistory


def metric(name, value, *, tentative=True, **context):
    marks = {"tentative": "true"} if tentative else {}
    kind = "distribution" if isinstance(value, dict) else "scalar"
    return {"name": {"origin": "user", "name": name, "context": {**context, **marks}}, kind: value}


def ask(local, path, status=200, **query):
    answer = local.http.get(f"/emulator/{path}", params=query)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_the_launch_of_a_job_is_kept_and_shown_by_no_view(local):
    job_id = local.launch_id()
    launched = ask(local, f"jobs/{job_id}/launch")["launchParameter"]
    assert launched["parameters"] == {"input": "gs://data/in", "output": "gs://data/out"}
    assert launched["containerSpecGcsPath"] == "gs://templates/batch.json"
    for view in ("JOB_VIEW_ALL", "JOB_VIEW_SUMMARY", "JOB_VIEW_UNKNOWN"):
        assert "launchParameter" not in local.call("GET", f"jobs/{job_id}", view=view)
    assert ask(local, "jobs") == {"projects": ["p"]}


def test_samples_have_counters_as_far_as_bundles_have_come_and_usage(local):
    job_id = local.launch_id()
    local.record(job_id, UsageEvent(cores=0.5, memory_bytes=10))
    updates = [
        metric("predictions", 5, namespace="flexpack", step="a"),
        metric("predictions", 2, namespace="flexpack", step="b"),
        metric("predictions", 1, tentative=False, namespace="flexpack", step="a"),
        metric("latency_ms", {"count": 2, "sum": 30, "min": 1, "max": 29}, step="a"),
        metric("ElementCount", 3, output_user_name="Read-out0"),
    ]
    local.record(job_id, MetricsEvent(updates))
    first, second = ask(local, f"jobs/{job_id}/history")["samples"]
    assert (first["cores"], first["memoryBytes"]) == (0.5, 10)
    assert "counters" not in first
    assert second["counters"] == {"predictions": 7}
    assert second["distributions"] == {"latency_ms": {"count": 2, "sum": 30}}
    assert second["elements"] == {"Read-out0": 3}
    assert second["cores"] == 0.5
    progress = ask(local, "progress", jobId=[job_id, "unknown"])["jobs"]
    assert progress == {job_id: [first, second], "unknown": []}


def test_messages_are_found_from_the_newest_to_the_oldest(local):
    job_id = local.launch_id()
    for number in range(5):
        local.record(job_id, MessageEvent(Importance.BASIC, f"Row {number} of 100%"))
    local.record(job_id, MessageEvent(Importance.DEBUG, "row: noise"))

    def find(**query):
        found = ask(local, f"jobs/{job_id}/messages", **query)["messages"]
        return [each["messageText"] for each in found], found[-1]["seq"] if found else 0

    texts, before = find(text="ROW", limit=3)
    assert texts == ["row: noise", "Row 4 of 100%", "Row 3 of 100%"]
    texts, _ = find(text="row", before=before)
    assert texts == [f"Row {number} of 100%" for number in (2, 1, 0)]
    assert find(text="0%", minimumImportance="JOB_MESSAGE_BASIC")[0][0] == "Row 4 of 100%"
    assert find(text="_")[0] == []  # no pattern


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("jobs/unknown/launch", {}, 404),
        ("jobs/unknown/history", {}, 404),
        ("jobs/unknown/messages", {}, 404),
        ("jobs/{id}/messages", {"before": "x"}, 400),
        ("jobs/{id}/messages", {"before": "9" * 23}, 400),
        ("jobs/{id}/messages", {"limit": "-1"}, 400),
        ("jobs/{id}/messages", {"minimumImportance": "LOUD"}, 400),
    ],
)
def test_what_is_unknown_is_refused(local, path, query, status):
    answer = ask(local, path.format(id=local.launch_id()), status, **query)
    assert answer["error"]["code"] == status


def test_a_long_job_keeps_a_few_hundred_samples_with_the_first_and_the_last(tmp_path):
    clock = iter(range(10_000))
    history = JobHistory(tmp_path / "history.sqlite3", clock=lambda: next(clock))
    for _ in range(2000):
        history.add_usage("long", 1.0, 1)
    history.add_usage("other", 1.0, 1)
    times = [each["time"] for each in history.read("long")]
    assert _MOST_SAMPLES / 2 <= len(times) <= _MOST_SAMPLES
    assert (times[0], times[-1]) == (0, 1999)
    assert times == sorted(times)
    history.forget(["long"])
    assert history.read("long") == []
    assert len(history.read("other")) == 1
    history.close()
