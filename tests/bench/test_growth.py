"""The figure for how evenly two workers share a job excludes their start-up."""

from tests.bench.bench_growth import _describe

_START = {"cpu_sec": 8.0, "wall_sec": 5.0, "workers_cpu_sec": [2.9, 3.1]}


def test_the_even_share_leaves_the_start_out():
    run = {"cpu_sec": 28.0, "wall_sec": 15.0, "workers_cpu_sec": [8.0, 13.0]}
    assert _describe(run, _START).endswith("workers 5.00 and 10.00 CPU s, even share 0.50")


def test_one_worker_has_no_even_share():
    run = {"cpu_sec": 28.0, "wall_sec": 15.0, "workers_cpu_sec": [8.0]}
    assert "share" not in _describe(run, _START)


def test_requests_are_those_of_an_object():
    run = {"count": 200, "wall_sec": 1.0, "per_object": {"GET media": 1.0}}
    assert _describe(run, run) == "200 objects of Cloud Storage: 1.00 GET media an object"
