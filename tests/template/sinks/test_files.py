"""Result files: JSON Lines, CSV, Parquet, and places that cannot be written."""

import csv
import json

import apache_beam as beam
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from template.dead_letters import DeadLetter, describe
from template.sinks.files import WriteDeadLetters, WritePredictions

BLOCKS = [
    pd.DataFrame({"key": ["x#0", "x#1"], "n": [1, 2], "s": [0.5, np.nan], "v": [[1, 2], [3]]}),
    pd.DataFrame({"key": ["x#2"], "n": [3], "s": [1.5], "v": [[4]]}),
]


def write(transform, elements):
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    _ = pipeline | beam.Create(elements, reshuffle=False) | transform
    pipeline.run().wait_until_finish()


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


@pytest.mark.parametrize(
    ("columns", "written"),
    [
        ([[None, None], ["p", "q"]], pa.string()),
        ([[None, None], [None, 7]], pa.float64()),
        ([[1, 2], [1.5, 2.5]], pa.float64()),
        ([[[], []], [[0.5], [1]]], pa.list_(pa.float64())),
        ([[{"x": 1}], [{"x": None, "y": "p"}]], pa.struct({"x": pa.int64(), "y": pa.string()})),
        ([[None], [None]], pa.string()),
    ],
    ids=str,
)
def test_a_parquet_column_has_the_type_that_holds_all_its_values(tmp_path, columns, written):
    blocks = [pd.DataFrame({"key": "x", "a": cells}) for cells in columns]
    write(WritePredictions(f"{tmp_path}/p", "parquet"), blocks)
    column = pq.read_table(tmp_path / "p-00000-of-00001.parquet")["a"]
    assert column.type == written
    values = [cell for cells in columns for cell in cells]
    assert pa.array(values, written).equals(column.combine_chunks())


def test_blocks_are_gathered_into_row_groups_of_bounded_size(tmp_path):
    blocks = [pd.DataFrame({"key": ["x" * 1000] * 1000, "n": number}) for number in range(20)]
    write(WritePredictions(f"{tmp_path}/p", "parquet"), blocks)
    file = pq.ParquetFile(tmp_path / "p-00000-of-00001.parquet")
    groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    assert groups == [17_000, 3_000]
    assert sorted(file.read()["n"].to_pylist()[::1000]) == list(range(20))


@pytest.mark.parametrize(
    ("key", "earlier", "later"),
    [
        ("x", 1, "z"),
        ("x", 2**60, 0.5),
        ("x" * (17 << 20), 1, 0.5),
        ("x" * (17 << 20), {"x": 1}, {"x": 1, "y": 2}),
    ],
    ids=["one group", "one group, inexact", "two groups", "two groups, another field"],
)
def test_a_column_that_no_type_holds_is_refused_with_both_types(tmp_path, key, earlier, later):
    blocks = [
        pd.DataFrame({"key": [key], "a": [earlier]}),
        pd.DataFrame({"key": "y", "a": [later]}),
    ]
    with pytest.raises(Exception, match=r"column 'a' is .+ in a block, but .+ before it"):
        write(WritePredictions(f"{tmp_path}/p", "parquet"), blocks)


@pytest.mark.parametrize("output_format", ["jsonl", "csv", "parquet"])
def test_a_row_that_cannot_be_written_is_a_dead_letter(tmp_path, output_format):
    cells = np.array([["p"], ["q"], [object()], ["s"]], dtype=object)[:, 0]
    block = pd.DataFrame({"key": list("abcd"), "v": [[cell] for cell in cells]}, index=range(4, 8))
    block.attrs["source"] = "gs://b/x"
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    letters = (
        pipeline
        | beam.Create([block], reshuffle=False)
        | WritePredictions(f"{tmp_path}/p", output_format)
    )
    _ = letters | WriteDeadLetters(f"{tmp_path}/p")
    result = pipeline.run()
    result.wait_until_finish()
    counters = {c.key.metric.name: c.committed for c in result.metrics().query()["counters"]}
    assert counters == {"predictions": -1, "dead_letters": 1}
    (letter,) = (tmp_path / "p-errors-00000-of-00001.jsonl").read_text().splitlines()
    letter = json.loads(letter)
    assert (letter["key"], letter["source"]) == ("c", "gs://b/x row 6")
    assert "OutputError: the prediction cannot be written: " in letter["error"]
    assert "object" in letter["error"]
    (file,) = tmp_path.glob(f"p-0*.{output_format}")
    read = {
        "jsonl": lambda: pd.read_json(file, lines=True),
        "csv": lambda: pd.read_csv(file),
        "parquet": lambda: pd.read_parquet(file),
    }[output_format]()
    assert read["key"].tolist() == ["a", "b", "d"]


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
