"""Files of every source, read as a model declares."""

import json

import pyarrow as pa
import pyarrow.parquet
import pytest

from template.sources.csv import split_csv
from template.sources.jsonl import split_jsonl
from template.sources.parquet import split_parquet
from tests.template.needs.reading import Read


@pytest.fixture
def read_csv(tmp_path):
    def read(text, **settings):
        path = tmp_path / "t.csv"
        path.write_text(text)
        return Read(path, split_csv, **settings)

    return read


@pytest.fixture
def read_jsonl(tmp_path):
    def read(records, **settings):
        path = tmp_path / "t.jsonl"
        lines = [each if isinstance(each, str) else json.dumps(each) for each in records]
        path.write_text("\n".join(lines))
        return Read(path, split_jsonl, **settings)

    return read


@pytest.fixture
def read_parquet(tmp_path):
    def read(table, **settings):
        path = tmp_path / "t.parquet"
        pyarrow.parquet.write_table(table if isinstance(table, pa.Table) else pa.table(table), path)
        return Read(path, split_parquet, **settings)

    return read
