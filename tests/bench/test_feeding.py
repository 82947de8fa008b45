"""The comparison of threads with prefetching, in a short form."""

import json
import os
import sys

import pytest

from tests.support import run

ROWS = 70  # enough small files to be read in groups


def test_every_row_passes_the_pretended_device(tmp_path):
    result = tmp_path / "feeding.json"
    short = [f"--rows={ROWS}", "--rounds=1", "--row-ms=0.5", f"--json={result}"]
    short += ["--sides", "prefetching", "2 threads"]
    program = (sys.executable, "-m", "tests.bench.bench_feeding")
    done = run(*program, *short, env=os.environ, timeout_sec=400)
    (sides,) = json.loads(result.read_text())["rounds"].values()
    assert list(sides) == ["prefetching", "2 threads"]
    for (found,) in sides.values():
        assert ROWS < found["rows"] <= ROWS + 2  # a thread may check the model on one
        assert found["busy"] == pytest.approx(found["rows"] * 0.0005 / found["sec"])
    assert done.stdout.startswith("| ms a row | prefetching | 2 threads |\n")
