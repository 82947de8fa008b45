"""Values that are not of the declared type: a dead letter for each."""

from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet
import pytest

from template.model import Column
from template.sources.streams import UnreadableError
from tests.template.needs.reading import read_messages


class TestValuesOfAnotherType:
    @pytest.mark.parametrize(
        ("type_", "value", "reason"),
        [
            ("number", "old", "'old' is not a number"),
            ("number", True, "true is not a number"),
            ("number", [1], "a list is not a number"),
            ("number", 2**53 + 1, "9007199254740993 is not exact as a float64; declare"),
            ("number", 10**400, "is not exact as a float64"),
            ("integer", 1.5, "1.5 is not a whole number"),
            ("integer", "1", "'1' is not a whole number"),
            ("integer", 2**63, "9223372036854775808 has more than 64 bits"),
            ("integer", False, "false is not a whole number"),
            ("boolean", 1, "1 is not true or false"),
            ("text", 5, "5 is not a text"),
            ("text", {"a": 1}, "an object is not a text"),
            ("image", "?!", "not base64"),
            ("image", 5, "a JSON int, not a list of pixels or base64"),
            ("image", [[True, 1]], "its pixels are not numbers"),
        ],
    )
    @pytest.mark.parametrize("optional", [False, True])
    def test_in_json(self, read_jsonl, type_, value, reason, optional):
        good = {"number": 1, "integer": 2, "boolean": True, "text": "x", "image": [[1, 2]]}[type_]
        columns = (Column("a", type_, optional),)
        read = read_jsonl([{"a": good}, {"a": value}, {"a": good}], columns=columns)
        (error,) = read.errors.values()
        assert error.startswith("ValueError: column 'a': ")
        assert reason in error
        (block,) = read.blocks
        assert list(block.index) == [0, 2]
        letters = read_messages([{"a": value}], columns=columns)
        assert [each.error for each in letters] == [error]

    @pytest.mark.parametrize(
        ("type_", "value", "reason"),
        [
            ("number", "old", "'old' is not a number"),
            ("number", "9007199254740993", "is not exact as a float64"),
            ("integer", "1.5", "1.5 is not a whole number"),
            ("integer", "x", "'x' is not a whole number"),
            ("integer", "9223372036854775808", "has more than 64 bits"),
            ("boolean", "maybe", "'maybe' is not true or false"),
        ],
    )
    def test_in_csv(self, read_csv, type_, value, reason):
        good = {"number": "1e3", "integer": " 7 ", "boolean": "TRUE"}[type_]
        columns = (Column("a", type_),)
        read = read_csv(f"a\n{good}\n{value}\n{good}\n", columns=columns)
        (error,) = read.errors.values()
        assert error.startswith("ValueError: column 'a': ")
        assert reason in error
        (block,) = read.blocks
        assert (
            block.frame["a"].tolist()
            == [{"number": 1000.0, "integer": 7, "boolean": True}[type_]] * 2
        )

    @pytest.mark.parametrize(
        ("type_", "array"),
        [
            ("number", pa.array(["a"])),
            ("number", pa.array([True])),
            ("integer", pa.array(["a"])),
            ("boolean", pa.array([1])),
            ("text", pa.array([1])),
            ("text", pa.array([b"a"])),
        ],
    )
    def test_a_parquet_column_that_never_fits_costs_the_file(self, read_parquet, type_, array):
        with pytest.raises(UnreadableError, match=r"column 'a' is of type .*, but the model needs"):
            read_parquet({"a": array}, columns=(Column("a", type_),))

    def test_a_parquet_value_that_does_not_fit_costs_its_row(self, read_parquet):
        columns = (Column("a", "number"), Column("b", "integer"), Column("c", "integer"))
        table = pa.table(
            {
                "a": pa.array([1, 2**53 + 1, 3, 4], pa.int64()),
                "b": pa.array([1.0, 2.0, 2.5, 4.0]),
                "c": pa.array([1, 2, 3, 2**63], pa.uint64()),
            }
        )
        read = read_parquet(table, columns=columns)
        assert set(read.errors) == {"row 1", "row 2", "row 3"}
        assert read.blocks[0].frame.values.tolist() == [[1, 1, 1]]
        assert [str(dtype) for dtype in read.blocks[0].frame.dtypes] == [
            "float64",
            "int64",
            "int64",
        ]

    def test_decimals_are_numbers_and_null_columns_are_missing(self, read_parquet):
        columns = (Column("a", "number"), Column("b", "text"))
        table = pa.table({"a": [Decimal("1.25"), None], "b": pa.nulls(2)})
        frame = read_parquet(table, columns=columns).frame
        assert frame["a"].tolist()[0] == 1.25
        assert frame.dtypes.astype(str).tolist() == ["float64", "object"]
