"""Result files: JSON Lines, CSV, Parquet, replaced files, and places that cannot be written."""

import csv
import json
from datetime import UTC, datetime

import apache_beam as beam
import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

from template.dead_letters import DeadLetter, describe
from template.sinks.files import WriteDeadLetters, WritePredictions
from template.sinks.finalize import FinalizeRun
from template.sinks.record import LaunchFacts
from template.sinks.start import StartRun
from template.sources.inputs import InputFiles

BLOCKS = [
    pd.DataFrame({"key": ["x#0", "x#1"], "n": [1, 2], "s": [0.5, np.nan], "v": [[1, 2], [3]]}),
    pd.DataFrame({"key": ["x#2"], "n": [3], "s": [1.5], "v": [[4]]}),
]
LETTER = DeadLetter(key="x#1", error="ValueError: a", source="gs://b/x row 1")


def write(output, output_format, blocks, letters=(), max_dead_letter_share=1):
    """Write as a run does; return its record."""
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    start = pipeline | StartRun(str(output), "no-model")
    files, unwritten = (
        pipeline
        | "Blocks" >> beam.Create(blocks, reshuffle=False)
        | WritePredictions(output_format, start)
    )
    errors = (
        (pipeline | "Letters" >> beam.Create(letters, reshuffle=False), unwritten)
        | beam.Flatten()
        | WriteDeadLetters(start)
    )
    inputs = pipeline | "Inputs" >> beam.Create([InputFiles.of([])])
    facts = LaunchFacts(parameters={}, time=datetime.now(UTC))
    _ = (start, inputs, files, errors) | FinalizeRun(str(output), facts, max_dead_letter_share)
    result = pipeline.run()
    result.wait_until_finish()
    record = json.loads(output.with_name(f"{output.name}-run.json").read_text())
    found = result.metrics().query(MetricsFilter().with_namespace("flexpack"))["counters"]
    return record, {counter.key.metric.name: counter.committed for counter in found}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_jsonl(tmp_path):
    write(tmp_path / "p", "jsonl", BLOCKS)
    assert names(tmp_path) == ["p-00000-of-00001.jsonl", "p-run.json"]
    lines = (tmp_path / "p-00000-of-00001.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"key": "x#0", "n": 1, "s": 0.5, "v": [1, 2]},
        {"key": "x#1", "n": 2, "s": None, "v": [3]},
        {"key": "x#2", "n": 3, "s": 1.5, "v": [4]},
    ]


def test_csv(tmp_path):
    write(tmp_path / "p", "csv", BLOCKS)
    with (tmp_path / "p-00000-of-00001.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["key", "n", "s", "v"],
            ["x#0", "1", "0.5", "[1,2]"],
            ["x#1", "2", "", "[3]"],
            ["x#2", "3", "1.5", "[4]"],
        ]


def test_parquet(tmp_path):
    write(tmp_path / "p", "parquet", BLOCKS)
    table = pq.read_table(tmp_path / "p-00000-of-00001.parquet")
    assert table.schema.names == ["key", "n", "s", "v"]
    assert table.to_pydict() == {
        "key": ["x#0", "x#1", "x#2"],
        "n": [1, 2, 3],
        "s": [0.5, None, 1.5],
        "v": [[1, 2], [3], [4]],
    }


def read_tables(folder):
    """Return the rows of each file, with its columns."""
    tables = []
    for path in sorted(folder.glob("p-0*")):
        if path.suffix == ".csv":
            with path.open(newline="") as file:
                tables.append(list(csv.DictReader(file)))
        else:
            tables.append(pq.read_table(path).to_pylist())
    return sorted(tables, key=str)


@pytest.mark.parametrize(("output_format", "one"), [("csv", "1"), ("parquet", 1)])
def test_rows_of_other_columns_have_a_file_of_their_own(tmp_path, output_format, one, caplog):
    blocks = [
        pd.DataFrame({"key": ["x"], "a": [1]}),
        pd.DataFrame({"key": ["y"], "b": [1]}),
        pd.DataFrame({"key": ["z"], "a": [1]}),
    ]
    record, counters = write(tmp_path / "p", output_format, blocks)
    assert read_tables(tmp_path) == [
        [{"key": "x", "a": one}, {"key": "z", "a": one}],
        [{"key": "y", "b": one}],
    ]
    assert record["counts"]["predictions"] == 3
    assert counters == {}
    assert "the predictions do not all have the same columns" in caplog.text
    kinds = [" ".join(file["columns"]) for file in record["output_files"]]
    types = {"csv": ["key a", "key b"], "parquet": ["key string a int64", "key string b int64"]}
    assert sorted(kinds) == types[output_format]


@pytest.mark.parametrize("output_format", ["csv", "parquet"])
def test_a_column_that_a_row_does_not_have_is_empty(tmp_path, output_format, caplog):
    blocks = [
        pd.DataFrame({"key": ["x"], "a": ["p"], "b": ["q"]}),
        pd.DataFrame({"b": ["r"], "key": ["y"]}),
    ]
    write(tmp_path / "p", output_format, blocks)
    empty = "" if output_format == "csv" else None
    assert read_tables(tmp_path) == [
        [{"key": "x", "a": "p", "b": "q"}, {"key": "y", "a": empty, "b": "r"}]
    ]
    assert "same columns" not in caplog.text


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
)
def test_a_parquet_column_has_the_type_that_holds_all_its_values(tmp_path, columns, written):
    blocks = [pd.DataFrame({"key": "x", "a": cells}) for cells in columns]
    write(tmp_path / "p", "parquet", blocks)
    column = pq.read_table(tmp_path / "p-00000-of-00001.parquet")["a"]
    assert column.type == written
    values = [cell for cells in columns for cell in cells]
    assert pa.array(values, written).equals(column.combine_chunks())


def test_blocks_are_gathered_into_row_groups_of_bounded_size(tmp_path):
    blocks = [pd.DataFrame({"key": ["x" * 1000] * 1000, "n": number}) for number in range(20)]
    write(tmp_path / "p", "parquet", blocks)
    file = pq.ParquetFile(tmp_path / "p-00000-of-00001.parquet")
    groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    assert groups == [17_000, 3_000]
    assert sorted(file.read()["n"].to_pylist()[::1000]) == list(range(20))


@pytest.mark.parametrize(
    ("key", "earlier", "later"),
    [
        ("x", 1, "z"),
        ("x", b"p", "z"),
        ("x", 2**60 + 1, 0.5),
        ("x" * (17 << 20), 1, 0.5),
        ("x" * (17 << 20), {"x": 1}, {"x": 1, "y": 2}),
    ],
    ids=["one group", "text and bytes", "inexact", "two groups", "two groups, another field"],
)
def test_a_value_that_no_type_of_the_file_holds_is_written_to_another(
    tmp_path, key, earlier, later, caplog
):
    blocks = [
        pd.DataFrame({"key": [key], "a": [earlier]}),
        pd.DataFrame({"key": "y", "a": [later]}),
        pd.DataFrame({"key": "z", "a": [earlier]}),
    ]
    write(tmp_path / "p", "parquet", blocks)
    rows = [row for table in read_tables(tmp_path) for row in table]
    found = {row["key"][0]: row["a"] for row in rows}
    if isinstance(earlier, dict):  # the file with more fields gets the row that has fewer
        assert found.pop("z") == {"x": 1, "y": None}
        earlier = found["x"]
        found["z"] = earlier
    assert found == {"x": earlier, "y": later, "z": earlier}
    assert len(names(tmp_path)) == 3
    assert "the predictions do not all have the same columns" in caplog.text


def test_a_block_of_mixed_types_is_written_row_by_row(tmp_path):
    block = pd.DataFrame({"key": list("abcd"), "a": pd.Series([1, 2, "x", 4], dtype=object)})
    record, counters = write(tmp_path / "p", "parquet", [block])
    rows = [row for table in read_tables(tmp_path) for row in table]
    assert {row["key"]: row["a"] for row in rows} == {"a": 1, "b": 2, "c": "x", "d": 4}
    assert (counters, record["counts"]["predictions"]) == ({}, 4)


def test_rows_that_are_all_unlike_open_few_files_at_a_time(tmp_path):
    blocks = [pd.DataFrame({"key": [f"{n}"], f"c{n}": [n]}) for n in range(50)]
    record, _ = write(tmp_path / "p", "csv", blocks)
    assert len(record["output_files"]) == 50
    assert sum(len(table) for table in read_tables(tmp_path)) == 50


@pytest.mark.parametrize("output_format", ["jsonl", "csv", "parquet"])
def test_a_row_that_cannot_be_written_is_a_dead_letter(tmp_path, output_format):
    cells = np.array([["p"], ["q"], [object()], ["s"]], dtype=object)[:, 0]
    block = pd.DataFrame({"key": list("abcd"), "v": [[cell] for cell in cells]}, index=range(4, 8))
    block.attrs["source"] = "gs://b/x"
    record, counters = write(tmp_path / "p", output_format, [block])
    assert counters == {"predictions": -1, "dead_letters": 1}
    (letter,) = (tmp_path / "p-errors-00000-of-00001.jsonl").read_text().splitlines()
    letter = json.loads(letter)
    assert (letter["key"], letter["source"]) == ("c", "gs://b/x row 6")
    assert "OutputError: the prediction cannot be written: " in letter["error"]
    assert "object" in letter["error"]
    assert record["dead_letter_reasons"] == [{"reason": letter["error"], "count": 1}]
    (file,) = tmp_path.glob(f"p-0*.{output_format}")
    read = {
        "jsonl": lambda: pd.read_json(file, lines=True),
        "csv": lambda: pd.read_csv(file),
        "parquet": lambda: pd.read_parquet(file),
    }[output_format]()
    assert read["key"].tolist() == ["a", "b", "d"]


@pytest.mark.parametrize("cell", [{}, [{}]])
def test_a_type_that_parquet_does_not_have_costs_its_row(tmp_path, cell):
    block = pd.DataFrame({"key": ["a", "b"], "v": pd.Series([cell, None], dtype=object)})
    record, _ = write(tmp_path / "p", "parquet", [block])
    assert record["counts"] == {
        "rows_read": 2,
        "predictions": 1,
        "dead_letters": 1,
        "unread_files": 0,
    }
    assert "no child field" in record["dead_letter_reasons"][0]["reason"]


def test_dead_letters(tmp_path):
    letters = [
        DeadLetter(key="x#1", error=describe(ValueError("not a \ud800")), source="gs://b/x row 1"),
        DeadLetter(key="caf\udce9#1", error="E \udce9", source="caf\udce9.csv row 1"),
    ]
    record, _ = write(tmp_path / "p", "jsonl", [], letters)
    lines = (tmp_path / "p-errors-00000-of-00001.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"key": "x#1", "error": r"ValueError: not a \ud800", "source": "gs://b/x row 1"},
        {"key": r"caf\udce9#1", "error": r"E \udce9", "source": r"caf\udce9.csv row 1"},
    ]
    assert record["counts"]["dead_letters"] == 2


@pytest.mark.parametrize("output_format", ["jsonl", "csv", "parquet"])
def test_if_there_is_nothing_to_write_there_is_no_file(tmp_path, output_format):
    record, _ = write(tmp_path / "p", output_format, [], max_dead_letter_share=None)
    assert names(tmp_path) == ["p-run.json"]
    assert (record["status"], record["output_files"]) == ("DONE", [])


def test_a_place_that_cannot_be_written_is_named_before_the_first_block(tmp_path):
    (tmp_path / "file").write_text("in the way")
    output = tmp_path / "file" / "p"
    with pytest.raises(Exception, match=f"--output '{output}': cannot be written") as info:
        write(output, "jsonl", BLOCKS)
    assert "PrepareOutput" in str(info.value)


class TestReplacing:
    """What happens to the files of an earlier run."""

    def test_the_files_of_its_record_go_and_no_others(self, tmp_path):
        write(tmp_path / "p", "csv", BLOCKS, [LETTER])
        write(tmp_path / "p-2", "csv", BLOCKS, [LETTER])
        write(tmp_path / "p-errors-2", "jsonl", BLOCKS)
        (tmp_path / "p-daily-00000-of-00001.csv").write_text("of another job")
        (tmp_path / "p-notes.csv").write_text("of a person")
        write(tmp_path / "p", "jsonl", BLOCKS[1:])
        assert names(tmp_path) == [
            "p-00000-of-00001.jsonl",
            "p-2-00000-of-00001.csv",
            "p-2-errors-00000-of-00001.jsonl",
            "p-2-run.json",
            "p-daily-00000-of-00001.csv",
            "p-errors-2-00000-of-00001.jsonl",
            "p-errors-2-run.json",
            "p-notes.csv",
            "p-run.json",
        ]
        assert '"key":"x#2"' in (tmp_path / "p-00000-of-00001.jsonl").read_text()
        assert "x#0" not in (tmp_path / "p-00000-of-00001.jsonl").read_text()

    def test_one_pattern_finds_the_predictions_alone(self, tmp_path):
        for name in ("p", "p-2", "p-errors-2"):
            write(tmp_path / name, "jsonl", BLOCKS, [LETTER])
        assert [path.name for path in tmp_path.glob("p-?????-of-?????.jsonl")] == [
            "p-00000-of-00001.jsonl"
        ]

    def test_a_record_removes_nothing_in_another_folder_or_of_another_name(self, tmp_path):
        for name in ("other", "mine"):
            (tmp_path / name).mkdir()
        (tmp_path / "other" / "p-00007-of-00009.csv").write_text("kept")
        (tmp_path / "mine" / "q-00007-of-00009.csv").write_text("kept")
        (tmp_path / "mine" / "p-00007-of-00009.csv").write_text("listed by name")
        listed = [
            f"{tmp_path}/other/p-00007-of-00009.csv",
            f"{tmp_path}/mine/q-00007-of-00009.csv",
            f"{tmp_path}/mine/p-run.json",
        ]
        record = {
            "run_id": "r",
            "verdict": None,
            "output_files": [{"path": path} for path in listed],
        }
        (tmp_path / "mine" / "p-run.json").write_text(json.dumps(record))
        write(tmp_path / "mine" / "p", "jsonl", BLOCKS)
        assert names(tmp_path / "other") == ["p-00007-of-00009.csv"]
        assert names(tmp_path / "mine") == [
            "p-00000-of-00001.jsonl",
            "p-run.json",
            "q-00007-of-00009.csv",
        ]

    def test_a_run_that_fails_before_its_end_leaves_it_untouched(self, tmp_path):
        write(tmp_path / "p", "csv", BLOCKS, [LETTER])
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(Exception, match="object of type 'int' has no len"):
            write(tmp_path / "p", "csv", [*BLOCKS, 7])
        after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
        assert after == before

    def test_one_that_the_verdict_fails_has_replaced_it(self, tmp_path):
        write(tmp_path / "p", "csv", BLOCKS)
        with pytest.raises(Exception, match="none of the 1 rows read was predicted"):
            write(tmp_path / "p", "csv", [], [LETTER], max_dead_letter_share=None)
        assert names(tmp_path) == ["p-errors-00000-of-00001.jsonl", "p-run.json"]
        record = json.loads((tmp_path / "p-run.json").read_text())
        assert record["status"] == "FAILED"
        assert "1 x ValueError: a" in record["verdict"]

    def test_files_without_a_record_stay_and_are_reported(self, tmp_path, caplog):
        (tmp_path / "p-00000-of-00009.jsonl").write_text("of an earlier job")
        write(tmp_path / "p", "jsonl", BLOCKS)
        assert names(tmp_path)[:2] == ["p-00000-of-00001.jsonl", "p-00000-of-00009.jsonl"]
        assert "files of an earlier run without a record remain" in caplog.text
        assert f"{tmp_path}/p-00000-of-00009.jsonl" in caplog.text

    @pytest.mark.parametrize("text", ["", "[]", '{"output_files": 3}', '{"a": 1}', "\ufffd"])
    def test_what_is_no_record_is_replaced_by_one(self, tmp_path, text):
        (tmp_path / "p-run.json").write_text(text)
        record, _ = write(tmp_path / "p", "jsonl", BLOCKS)
        assert record["status"] == "DONE"
        assert orjson.loads((tmp_path / "p-run.json").read_bytes()) == record
