"""The first rows of an input at the launch: a wrong column is reported before there is a job."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from template.needs.columns import Column
from template.parameters import ParameterError
from template.sources import ReadBlocks
from template.sources.first_rows import check_first_rows, find_absent_columns

COLUMNS = [Column("age", "number"), Column("note", "text", optional=True)]


def write(folder, name, rows):
    path = folder / name
    if name.endswith(".csv"):
        path.write_text("\n".join([",".join(rows[0]), *(",".join(each.values()) for each in rows)]))
    elif name.endswith(".jsonl"):
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)


def check(folder):
    check_first_rows(f"{folder}/*", ReadBlocks(f"{folder}/*", batch_size=8, columns=COLUMNS))


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_wrong_column_is_named(tmp_path, ending):
    for number in range(2):
        write(tmp_path, f"{number}.{ending}", [{"agee": "1", "x": "2"}] * 3)
    noun = "field" if ending == "jsonl" else "column"
    reason = f"0.{ending}.*no {noun} 'age', which the model needs; did you mean 'agee'"
    with pytest.raises(ParameterError, match=reason):
        check(tmp_path)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_one_file_with_the_column_is_enough(tmp_path, ending):
    write(tmp_path, f"0.{ending}", [{"agee": "1"}] * 3)
    write(tmp_path, f"1.{ending}", [{"age": "1"}])
    check(tmp_path)


def test_a_value_that_does_not_do_is_no_reason(tmp_path):
    write(tmp_path, "0.csv", [{"age": "old"}] * 30)
    check(tmp_path)
    (tmp_path / "0.csv").write_bytes(b"")
    check(tmp_path)


def test_the_path_of_a_single_file_is_said_once(tmp_path):
    write(tmp_path, "0.csv", [{"agee": "1"}])
    path = f"{tmp_path}/0.csv"
    with pytest.raises(ParameterError) as info:
        check_first_rows(path, ReadBlocks(path, batch_size=8, columns=COLUMNS))
    assert str(info.value).count("0.csv") == 1


def find_absent(folder, key_column=None):
    read = ReadBlocks(f"{folder}/*", batch_size=8, key_column=key_column)
    return find_absent_columns(f"{folder}/*", read, COLUMNS)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_an_optional_column_that_is_in_no_file_is_a_warning(tmp_path, ending):
    write(tmp_path, f"0.{ending}", [{"age": "1", "notes": "x"}])
    (warning,) = find_absent(tmp_path)
    assert warning == (
        f"--input '{tmp_path}/*': the first 20 rows of the file lack column 'note', "
        "which is optional for the model: its values are missing; did you mean 'notes'?"
    )
    write(tmp_path, f"1.{ending}", [{"age": "1"}])
    (warning,) = find_absent(tmp_path)
    assert " rows of each of the first 2 files lack column 'note', which" in warning
    write(tmp_path, f"2.{ending}", [{"age": "1", "note": "y"}])
    assert find_absent(tmp_path) == []


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("named", [{"key_column": "idd"}, {"passthrough_columns": ("idd",)}])
def test_a_wrong_key_or_column_to_pass_through_is_named(tmp_path, ending, named):
    read = ReadBlocks(f"{tmp_path}/*", batch_size=8, **named)
    for number in range(2):
        write(tmp_path, f"{number}.{ending}", [{"id": "1"}])
    reason = f"no column 'idd', which {next(iter(named))} names; did you mean 'id'"
    with pytest.raises(ParameterError, match=reason):
        check_first_rows(f"{tmp_path}/*", read)
    write(tmp_path, f"2.{ending}", [{"idd": "1"}])
    check_first_rows(f"{tmp_path}/*", read)


def test_rows_of_json_after_the_first_twenty_do_not_count(tmp_path):
    few = [{"age": 1}, {"age": 1, "note": "y"}, *[{"age": 1}] * 40]
    write(tmp_path, "0.jsonl", few)
    assert find_absent(tmp_path) == []
    write(tmp_path, "0.jsonl", [{"age": 1, "note": "y"}, *[{"agee": 1}] * 40])
    check(tmp_path)
    write(tmp_path, "0.jsonl", [*[{"agee": 1}] * 20, {"age": 1}])
    with pytest.raises(ParameterError, match="no field 'age'"):
        check(tmp_path)


def test_an_optional_column_without_a_near_name_has_no_suggestion(tmp_path):
    write(tmp_path, "0.csv", [{"age": "1", "x": "2"}])
    (warning,) = find_absent(tmp_path, key_column="x")
    assert warning.endswith("its values are missing")
    write(tmp_path, "0.csv", [{"agee": "1"}])
    (tmp_path / "0.csv").write_bytes(b"")
    assert find_absent(tmp_path) == []
