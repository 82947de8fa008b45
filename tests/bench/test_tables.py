"""The sides of ``bench_tables.py`` predict the same rows, and a line gives slope and constant."""

import numpy as np
import pandas as pd
import pytest

from tests.bench import tables
from tests.bench.bench_tables import read_written
from tests.bench.results import fit, summarize_tables
from tests.bench.tables_sides import SIDES

_READERS = {"csv": pd.read_csv, "parquet": pd.read_parquet}


@pytest.mark.parametrize("file_format", _READERS)
def test_all_sides_write_the_same_rows(file_format, tmp_path):
    file = tables.write_table(tmp_path / f"table.{file_format}", 3000)
    weights = tables.write_weights(tmp_path / "weights.pth", tables.Network())
    expected = None
    for side, run in SIDES[file_format].items():
        output = tmp_path / side
        output.mkdir()
        run(file, weights, output)
        assert read_written(output, file_format)[0] == 3000
        parts = [_READERS[file_format](path) for path in output.glob(f"rows*.{file_format}")]
        rows = pd.concat(parts).sort_values("key", ignore_index=True)
        expected = rows if expected is None else expected
        assert list(rows["key"]) == list(expected["key"]) == [f"c{row:07}" for row in range(3000)]
        assert list(rows["leaves"]) == list(expected["leaves"])
        np.testing.assert_allclose(rows["risk"], expected["risk"], rtol=1e-4)


def test_slope_and_constant_are_apart():
    runs = [{"rows": rows, "cpu_sec": 0.4 + 20e-6 * rows} for rows in (1000, 50_000, 100_000)]
    slope, constant = fit(runs)
    assert slope == pytest.approx(20e-6)
    assert constant == pytest.approx(0.4)


def test_ratios_are_those_of_the_same_round():
    def side(row_us):
        return [
            {"rows": rows, "cpu_sec": 0.1 + row_us * 1e-6 * rows, "peak_mib": 1.0}
            for rows in (1000, 2000, 3000)
        ]

    rounds = [  # the second one on a machine with other load
        {"sides": {"pandas": side(10), "flexpack": side(20)}},
        {"sides": {"pandas": side(50), "flexpack": side(100)}},
    ]
    summary = summarize_tables({"rounds": {"csv": rounds, "parquet": []}})
    assert summary["csv"]["pandas"]["flexpack_of_it"] == pytest.approx(0.5)
    assert summary.keys() == {"csv"}
