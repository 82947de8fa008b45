"""Result files: JSON Lines, CSV, Parquet, and places that cannot be written."""

import csv
import datetime
import json

import apache_beam as beam
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from apache_beam.options.pipeline_options import PipelineOptions

from template.dead_letters import DeadLetter, describe
from template.sinks import WriteDeadLetters, WritePredictions, json_lines

BLOCKS = [
    pd.DataFrame({"key": ["x#0", "x#1"], "n": [1, 2], "s": [0.5, np.nan], "v": [[1, 2], [3]]}),
    pd.DataFrame({"key": ["x#2"], "n": [3], "s": [1.5], "v": [[4]]}),
]


def write(transform, elements):
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    _ = pipeline | beam.Create(elements, reshuffle=False) | transform
    pipeline.run().wait_until_finish()


def test_json_lines_are_what_json_reads():
    block = pd.DataFrame(
        {
            "key": ['"},{"key":', "é\n", "z"],
            "i": np.array([1, 2, 3], dtype=np.int8),
            "f": np.array([0.5, np.nan, np.inf], dtype=np.float32),
            "b": [True, False, True],
            "o": [None, pd.NA, pd.NaT],
            "t": pd.to_datetime(["2026-01-01", None, "2026-01-03"]),
            "l": [np.arange(2), [np.float32(0.5)], torch.tensor([1])],
            "d": [{"key": 1}, [{"key": 1}, {"key": 2}], datetime.date(2026, 1, 1)],
        }
    )
    rows = [json.loads(line) for line in json_lines(block).decode().splitlines()]
    assert [row["key"] for row in rows] == ['"},{"key":', "é\n", "z"]
    assert [row["f"] for row in rows] == [0.5, None, None]
    assert [row["o"] for row in rows] == [None, None, None]
    assert [row["t"] for row in rows] == ["2026-01-01T00:00:00", None, "2026-01-03T00:00:00"]
    assert [row["l"] for row in rows] == [[0, 1], [0.5], [1]]
    assert [row["d"] for row in rows] == [{"key": 1}, [{"key": 1}, {"key": 2}], "2026-01-01"]
    assert rows[0]["i"] == 1
    assert rows[0]["b"] is True
    assert json_lines(block.iloc[:0]) == b""
    with pytest.raises(TypeError, match="object"):
        json_lines(pd.DataFrame({"key": ["x"], "o": [object()]}))


def test_files_of_an_earlier_run_are_told_of(tmp_path, caplog):
    output = f"{tmp_path}/p"
    write(WritePredictions(output, "jsonl"), BLOCKS)
    letter = DeadLetter(key="x#1", error="ValueError: a", source="gs://b/x row 1")
    write(WriteDeadLetters(output), [letter])
    write(WritePredictions(output, "csv"), BLOCKS)
    assert "earlier run" not in caplog.text
    write(WritePredictions(output, "jsonl"), BLOCKS)
    assert f"--output {output!r}: files of an earlier run are there, {output}-0000" in caplog.text


def test_jsonl(tmp_path):
    write(WritePredictions(f"{tmp_path}/p", "jsonl"), BLOCKS)
    (file,) = tmp_path.iterdir()
    assert file.name == "p-00000-of-00001.jsonl"
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        {"key": "x#0", "n": 1, "s": 0.5, "v": [1, 2]},
        {"key": "x#1", "n": 2, "s": None, "v": [3]},
        {"key": "x#2", "n": 3, "s": 1.5, "v": [4]},
    ]


def test_csv(tmp_path):
    write(WritePredictions(f"{tmp_path}/p", "csv"), BLOCKS)
    with (tmp_path / "p-00000-of-00001.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["key", "n", "s", "v"],
            ["x#0", "1", "0.5", "[1,2]"],
            ["x#1", "2", "", "[3]"],
            ["x#2", "3", "1.5", "[4]"],
        ]


def test_parquet(tmp_path):
    write(WritePredictions(f"{tmp_path}/p", "parquet"), BLOCKS)
    table = pq.read_table(tmp_path / "p-00000-of-00001.parquet")
    assert table.schema.names == ["key", "n", "s", "v"]
    assert table.to_pydict() == {
        "key": ["x#0", "x#1", "x#2"],
        "n": [1, 2, 3],
        "s": [0.5, None, 1.5],
        "v": [[1, 2], [3], [4]],
    }


@pytest.mark.parametrize("output_format", ["csv", "parquet"])
def test_blocks_with_other_columns_are_refused_by_name(tmp_path, output_format):
    blocks = [pd.DataFrame({"key": ["x"], "a": [1]}), pd.DataFrame({"key": ["y"], "b": [1]})]
    with pytest.raises(Exception, match="has the columns key, b, but its file begins with key, a"):
        write(WritePredictions(f"{tmp_path}/p", output_format), blocks)


def test_a_column_of_another_type_is_refused_with_both_types(tmp_path):
    blocks = [pd.DataFrame({"key": ["x"], "a": [1]}), pd.DataFrame({"key": ["y"], "a": ["z"]})]
    with pytest.raises(Exception, match="column 'a' is string in a block, but int64 in the first"):
        write(WritePredictions(f"{tmp_path}/p", "parquet"), blocks)


def test_dead_letters(tmp_path):
    error = describe(ValueError("not a \ud800"))
    letters = [DeadLetter(key="x#1", error=error, source="gs://b/x row 1")]
    write(WriteDeadLetters(f"{tmp_path}/p"), letters)
    text = (tmp_path / "p-errors-00000-of-00001.jsonl").read_text()
    assert json.loads(text) == {
        "key": "x#1",
        "error": r"ValueError: not a \ud800",
        "source": "gs://b/x row 1",
    }


def test_predictions_replace_their_own_files_and_no_dead_letters(tmp_path):
    (tmp_path / "p-00000-of-00001.jsonl").write_text("of an earlier job")
    (tmp_path / "p-daily-00000-of-00001.jsonl").write_text("of another job")
    letter = DeadLetter(key="x#1", error="ValueError: a", source="gs://b/x row 1")
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    letters = pipeline | "Letters" >> beam.Create([letter]) | WriteDeadLetters(f"{tmp_path}/p")
    _ = (
        pipeline
        | beam.Create(BLOCKS[1:])
        | "LettersFirst" >> beam.Map(lambda block, _: block, beam.pvalue.AsList(letters))
        | WritePredictions(f"{tmp_path}/p", "jsonl")
    )
    pipeline.run().wait_until_finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "p-00000-of-00001.jsonl",
        "p-daily-00000-of-00001.jsonl",
        "p-errors-00000-of-00001.jsonl",
    ]
    assert '"key":"x#2"' in (tmp_path / "p-00000-of-00001.jsonl").read_text()


@pytest.mark.parametrize("output_format", ["jsonl", "csv", "parquet"])
def test_where_there_is_nothing_to_write_there_is_no_file(tmp_path, output_format):
    write(WritePredictions(f"{tmp_path}/p", output_format), [])
    write(WriteDeadLetters(f"{tmp_path}/p"), [])
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named_before_the_first_block(tmp_path):
    (tmp_path / "file").write_text("in the way")
    output = f"{tmp_path}/file/p"
    with pytest.raises(Exception, match=f"--output '{output}': cannot be written") as info:
        write(WritePredictions(output, "jsonl"), BLOCKS)
    assert "InitializeWrite" in str(info.value)
