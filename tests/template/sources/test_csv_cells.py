"""The cells of CSV files: the types of their columns, and cells that do not fit them."""

import io

import numpy as np
import pandas as pd
import pytest
from pandas._libs.parsers import STR_NA_VALUES

from template.model import BaseModel
from template.sources.streams import UnreadableError


def test_the_type_of_a_column_belongs_to_the_file(read_csv_blocks):
    text = "a,b\n" + "".join(f"{row},{row}\n" for row in range(3000)) + "x,y\n"
    *clean, misfit = read_csv_blocks(text, batch_size=100)
    assert {block.frame["a"].dtype for block in clean} == {np.dtype(np.float64)}
    assert misfit.frame.to_dict("list") == {"a": ["x"], "b": ["y"]}
    (mostly_text,) = read_csv_blocks("a\n" + "x\n" * 60 + "7\n" * 40)
    assert set(mostly_text.frame["a"]) == {"x", "7"}


def test_rows_whose_cells_do_not_fit_travel_apart(read_csv_blocks):
    text = "a,b,c\n1,2,p\nx,3,q\n4,y,r\nz,z,s\n5,6,t\nw,7,u\n8,9,v\n"
    clean, first, second, both = read_csv_blocks(text)
    assert clean.index.tolist() == [0, 4, 6]
    assert clean.frame.dtypes.tolist() == [np.float64, np.float64, object]
    assert clean.misfits == []
    assert first.index.tolist() == [1, 5]
    assert first.frame.to_dict("list") == {"a": ["x", "w"], "b": [3.0, 7.0], "c": ["q", "u"]}
    assert list(first.frame.columns) == ["a", "b", "c"]
    assert first.frame["b"].dtype == np.float64
    assert first.misfits[1] == {"a": "w"}
    assert second.frame.to_dict("list") == {"a": [4.0], "b": ["y"], "c": ["r"]}
    assert both.misfits == [{"a": "z", "b": "z"}]


def test_a_block_of_misfits_has_its_size_and_keeps_its_notes(read_csv_blocks):
    text = "a\n" + "1\n" * 11 + "".join(f"x{row}\n" for row in range(7))
    blocks = read_csv_blocks(text, batch_size=5)
    assert [len(block) for block in blocks] == [5, 5, 1, 5, 2]
    assert blocks[4].misfits[1] == {"a": "x6"}
    assert blocks[3].take(1, 3).misfits == [{"a": "x1"}, {"a": "x2"}]


class Sum(BaseModel):
    """Adds two columns, and ignores all others."""

    def load_model(self, path, **opts):
        return True

    def predict(self, df):
        return df[["a", "b"]].to_numpy(dtype=float).sum(axis=1)


def test_a_cell_that_predict_does_not_need_costs_nothing(predict, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,ticket\n1,2,1\n3,4,A/5 21171\n5,old,3\n7,8,4\n9,10,5\n")
    outcome = predict(path, model_class=Sum)
    sums = {key: row["prediction"] for key, row in outcome.by_key().items()}
    assert sums == {"t.csv#0": 3, "t.csv#1": 7, "t.csv#3": 15, "t.csv#4": 19}
    assert outcome.dead_letters == [
        {
            "key": "t.csv#2",
            "error": "ValueError: column 'b': 'old' is not a number",
            "source": f"{path} row 2",
        }
    ]


class Picky(Sum):
    """Fails for reasons other than texts."""

    def predict(self, df):
        if (df["c"] > 90).any():
            raise ValueError("c is too large")
        return super().predict(df)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ("old,x,0", "ValueError: column 'a': 'old' is not a number"),
        ("1,old,0", "ValueError: column 'b': 'old' is not a number"),
        ("1,old,91", "ValueError: c is too large (column 'b': 'old' is not a number)"),
        (
            "old,x,91",
            "ValueError: c is too large "
            "(column 'a': 'old' is not a number; column 'b': 'x' is not a number)",
        ),
    ],
)
def test_a_row_with_a_text_among_numbers_says_why_it_failed(predict, tmp_path, row, error):
    path = tmp_path / "t.csv"
    path.write_text(f"a,b,c\n1,2,3\n{row}\n4,5,6\n7,8,9\n")
    (letter,) = predict(path, model_class=Picky).dead_letters
    assert letter == {"key": "t.csv#1", "error": error, "source": f"{path} row 1"}


def test_long_integers_keep_their_digits(read_csv_blocks):
    text = "id,x\n1582218195625938945,1\n1582218195625938946,2\n,3\n7,4\n18446744073709551615,5\n"
    text += "123123123123123123123123,6\n-9223372036854775808,7\n9007199254740992,8\n1e18,9\n"
    floats, integers, unsigned, long = _by_dtype(read_csv_blocks(text))
    assert integers.frame["id"].tolist() == [
        1582218195625938945,
        1582218195625938946,
        -9223372036854775808,
    ]
    assert unsigned.frame["id"].tolist() == [18446744073709551615]
    assert long.frame["id"].tolist() == [123123123123123123123123]
    assert floats.frame["id"].tolist()[1:] == [7.0, 9007199254740992.0, 1e18]
    assert not any(block.misfits for block in (floats, integers, unsigned, long))


def test_the_first_integer_that_a_float_does_not_hold(read_csv_blocks):
    floats, integers = read_csv_blocks(
        "a\n9007199254740992\n9007199254740993\n-9007199254740993\n0.5\n"
    )
    assert floats.frame["a"].tolist() == [9007199254740992.0, 0.5]
    assert integers.frame["a"].tolist() == [9007199254740993, -9007199254740993]


def _by_dtype(blocks):
    found = {str(block.frame.iloc[:, 0].dtype): block for block in blocks}
    assert len(found) == len(blocks)
    return [found[dtype] for dtype in ("float64", "int64", "uint64", "object")]


NUMBERS = {
    "1e3": 1000.0,
    " 7 ": 7.0,
    "-.5": -0.5,
    "+2": 2.0,
    "00501": 501.0,
    "1.": 1.0,
    "Infinity": np.inf,
    "-inf": -np.inf,
}


def test_numbers_as_pandas_reads_them(read_csv_blocks):
    (block,) = read_csv_blocks("a,b\n" + "".join(f"{cell},x\n" for cell in NUMBERS))
    assert block.frame["a"].tolist() == list(NUMBERS.values())
    assert block.frame["a"].dtype == np.float64


@pytest.mark.parametrize(
    "cell", ["1_000", "0x10", "1e400", "\u0661", "nan(1)", "NAN", "1,5", "true"]
)
def test_what_pandas_takes_for_text_is_text(read_csv_blocks, cell):
    text = f'a\n1\n2\n"{cell}"\n'
    assert pd.read_csv(io.StringIO(text))["a"].tolist()[2] == cell
    _, misfit = read_csv_blocks(text)
    assert misfit.frame["a"].tolist() == [cell]


def test_missing_values_of_numbers(read_csv_blocks):
    words = [*sorted(STR_NA_VALUES), "   ", "\t"]
    text = "a,b\n1,x\n" + "".join(f"{word},{word}\n" for word in words)
    (block,) = read_csv_blocks(text)
    assert block.frame["a"].isna().tolist() == [False] + [True] * len(words)
    assert block.frame["b"].tolist() == ["x", *(word or None for word in words)]


def test_missing_values_do_not_decide_a_type(read_csv_blocks):
    (block,) = read_csv_blocks("a,b\n" + "NA,x\n" * 50 + " ,y\n" * 50 + "z,\ny,\n3,\n")
    assert set(block.frame["a"]) == {"NA", " ", "z", "y", "3"}
    (block,) = read_csv_blocks("a,b\n,x\nNA,y\n")
    assert block.frame["a"].dtype == np.float64
    assert block.frame["a"].isna().all()


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_type_comes_from_values_however_late(read_csv_blocks, name):
    long = "y" * (1 << 20)
    text = "a,b,c\n" + f",{long},1\n" * 20 + "".join(f"{row},z,2\n" for row in range(10))
    blocks = read_csv_blocks(text, name)
    assert {block.frame["a"].dtype for block in blocks} == {np.dtype(np.float64)}
    assert sum(len(block) for block in blocks) == 30


def test_column_types_decide(read_csv_blocks, read_csv):
    types = {"zip": "text", "age": "number"}
    text = "zip,age\n00501,x\n9.10,y\n,3\n"
    clean, misfits = sorted(read_csv_blocks(text, column_types=types), key=len)
    assert clean.frame.to_dict("list") == {"zip": [None], "age": [3.0]}
    assert misfits.frame.to_dict("list") == {"zip": ["00501", "9.10"], "age": ["x", "y"]}
    with pytest.raises(UnreadableError, match="no column 'zipp', which column_types names; did yo"):
        read_csv(text, column_types={"zipp": "text"})


def test_an_integer_beyond_every_float_is_a_cell_like_any_other(read_csv):
    large = 10**400
    text = "n,m\n" + "1,1\n" * 20 + f"{large},2\n{-large},3\n"
    frame, letters = read_csv(text)
    assert letters == {}
    assert frame["n"].iloc[-2:].tolist() == [large, -large]
