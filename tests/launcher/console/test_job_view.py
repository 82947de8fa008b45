"""Figures, progress and series of a job, computed from its samples."""

from __future__ import annotations

import pytest

from launcher.console.job_view import (
    build_series,
    find_edge_speeds,
    find_progress,
    read_figures,
)


def sample(time, rows=None, *, dead=0, elements=None, latency=None, cores=None):
    found = {"time": float(time)}
    if rows is not None:
        counters = {"rows_read": rows + dead, "predictions": rows, "dead_letters": dead}
        found |= {"counters": counters, "elements": elements or {"a": 1}, "distributions": {}}
        if latency:
            found["distributions"] = {"latency_ms": {"count": latency[0], "sum": latency[1]}}
    if cores is not None:
        found |= {"cores": cores, "memoryBytes": 1 << 20}
    return found


def test_nothing_is_known_before_the_first_count():
    for samples in ([], [sample(0, cores=1)]):
        assert read_figures(samples, has_ended=False, now=1).rows is None


def test_speed_is_that_of_late_while_it_runs_and_the_mean_when_it_has_ended():
    samples = [sample(0, 0), sample(10, 1000), sample(20, 1100), sample(24, 1200, dead=100)]
    running = read_figures(samples, has_ended=False, now=25)
    assert (running.rows, running.dead_letters, running.rows_read) == (1300, 100, 1300)
    assert running.speed == 200 / 4
    assert read_figures(samples, has_ended=True, now=999).speed == 1300 / 24
    assert read_figures(samples, has_ended=False, now=999).speed == 0


def test_a_job_without_the_kits_counters_counts_elements():
    samples = [{"time": 1.0, "counters": {"words": 9}, "elements": {"a": 3, "b": 5}}]
    figures = read_figures(samples, has_ended=False, now=1)
    assert (figures.rows, figures.is_kit) == (5, False)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"in": 10, "out": 4}, (4, 10, 12.0)),
        ({"in": 10, "out": 0}, (0, 10, None)),
        ({"in": 10, "out": 10, "in2": 5, "out2": 1}, (1, 5, None)),
        ({}, None),
        ({"other": 3}, None),
    ],
)
def test_progress_is_that_of_the_last_step_that_spreads_work(elements, expected):
    spread = [("in", "out"), ("in2", "out2")]
    begin = {"in": 1} if elements else {}
    samples = [sample(0, 0, elements=begin), sample(8, 0, elements=elements)]
    found = find_progress(spread, samples)
    assert (found and (found.done, found.total, found.left_sec)) == expected
    assert found is None or found.unit == "parts"


def test_progress_of_the_kits_template_is_in_rows_once_they_are_counted():
    samples = [sample(0, 0), sample(5, 500), sample(10, 1000)]
    for each in samples:
        each["counters"]["rows_found"] = 5000
    found = find_progress([("in", "out")], samples)
    assert (found.done, found.total, found.unit, found.left_sec) == (1000, 5000, "rows", 40)
    samples[-1]["counters"]["uncounted_files"] = 1
    assert find_progress([("in", "out")], samples) is None


def test_series_are_means_between_points_and_lines_without_values_are_left_out():
    samples = [
        sample(0, cores=0.5),
        sample(2, 0, latency=(10, 1000)),
        sample(4, 100, dead=5, latency=(20, 1500), cores=1.5),
    ]
    series = build_series(samples)
    assert series["time"] == [0, 2, 4]
    assert series["rows"] == [None, None, 52.5]
    assert series["dead_letters"] == [None, 0, 5]
    assert series["latency_ms"] == [None, 100, 50]
    assert series["cores"] == [0.5, None, 1.5]
    assert "elements" not in series
    assert build_series([sample(0, cores=1)]).keys() == {"time", "cores", "memory_mib"}
    assert build_series([]) == {"time": []}


def test_a_long_job_is_thinned_out_and_its_end_is_kept():
    series = build_series([sample(2 * number, number) for number in range(5000)])
    assert len(series["time"]) <= 152
    assert series["time"][-1] == 9998
    assert all(value == 0.5 for value in series["rows"][1:])


def test_a_collection_that_grew_of_late_has_a_speed():
    samples = [sample(0, 0, elements={"a": 0}), sample(5, 0, elements={"a": 50, "b": 5})]
    assert find_edge_speeds(samples, now=6) == {"a": 10, "b": 1}
    assert find_edge_speeds(samples, now=60) == {}
