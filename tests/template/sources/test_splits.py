"""Splits are the same, whatever reads them."""

import gzip

import numpy as np
import pandas as pd
import pytest

from template.file_versions import FileVersion
from template.sources.chunks import CHUNK_BYTES
from template.sources.csv import split_csv
from template.sources.idx import ROWS_PER_SPLIT, split_idx
from template.sources.jsonl import split_jsonl
from template.sources.parquet import split_parquet
from template.sources.splits import SplitId
from template.sources.streams import ReadSettings


def ids(split, path, generation="g1", batch_size=1000):
    file = FileVersion(path=str(path), size=path.stat().st_size, generation=generation)
    return [each.id for each in split(file, ReadSettings(batch_size=batch_size))]


def test_rows_of_idx(write_idx, images):
    path = write_idx(np.zeros((ROWS_PER_SPLIT + 5, 1, 1), np.uint8))
    found = ids(split_idx, path)
    assert found == ids(split_idx, path, batch_size=7)
    assert [each.range for each in found] == ["rows 0-16383", "rows 16384-16388"]
    assert {(each.path, each.generation) for each in found} == {(str(path), "g1")}


@pytest.mark.parametrize(("split", "name"), [(split_csv, "t.csv"), (split_jsonl, "t.jsonl")])
def test_bytes_of_text(tmp_path, split, name):
    path = tmp_path / name
    row = b'{"a":"' + b"x" * 1000 + b'"}\n'
    path.write_bytes((b"a\n" if split is split_csv else b"") + row * (CHUNK_BYTES // len(row) + 5))
    first, second = found = ids(split, path)
    assert found == ids(split, path, batch_size=7)
    end = int(first.range.rpartition("-")[2])
    assert second.range == f"bytes {end + 1}-{path.stat().st_size - 1}"
    assert ids(split, path, "g2")[0] != first


def test_row_groups_of_parquet(tmp_path):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": range(40_000)}).to_parquet(path, row_group_size=10_000)
    found = ids(split_parquet, path)
    assert found == ids(split_parquet, path, batch_size=7)
    assert [each.range for each in found] == ["row groups 0-1", "row groups 2-3"]


@pytest.mark.parametrize(("split", "name"), [(split_csv, "t.csv.gz"), (split_jsonl, "t.jsonl.gz")])
def test_a_gzip_file_is_whole(tmp_path, split, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"a\n1\n"))
    assert ids(split, path) == [SplitId(path=str(path), generation="g1", range="")]
