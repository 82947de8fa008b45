"""What predict may return."""

from collections import OrderedDict

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from template.predict_result import (
    EntryCountError,
    TakenColumnError,
    UnusablePredictionError,
    join_predictions,
)

KEYS = {"key": np.array(["x", "y"], dtype=object)}


def joined(returned):
    return join_predictions(KEYS, 2, returned).to_dict("list")


@pytest.mark.parametrize(
    ("returned", "columns"),
    [
        (None, {}),
        (pd.DataFrame({"a": [1, 2], 3: ["p", "q"]}, index=[8, 9]), {"a": [1, 2], "3": ["p", "q"]}),
        (pd.Series([1.5, 2.5]), {"prediction": [1.5, 2.5]}),
        (pd.Series([1, 2], name="n", index=["i", "j"]), {"n": [1, 2]}),
        (np.array([1, 2]), {"prediction": [1, 2]}),
        (np.array([[1, 2], [3, 4]]), {"prediction": [[1, 2], [3, 4]]}),
        (torch.tensor([1.0, 2.0]), {"prediction": [1.0, 2.0]}),
        (torch.tensor([[1.0], [2.0]], requires_grad=True), {"prediction": [[1.0], [2.0]]}),
        (torch.tensor([1.0, 2.0], dtype=torch.bfloat16), {"prediction": [1.0, 2.0]}),
        (pa.array([1.5, 2.5]), {"prediction": [1.5, 2.5]}),
        ({"a": pa.array([1, 2])}, {"a": [1, 2]}),
        (pa.array([2**53 + 1, None]), {"prediction": [2**53 + 1, None]}),
        (pa.chunked_array([["p"], [None]]), {"prediction": ["p", None]}),
        ([pa.array([1, 2]), pa.array([3])], {"prediction": [[1, 2], [3]]}),
        ([1, 2], {"prediction": [1, 2]}),
        (("p", None), {"prediction": ["p", None]}),
        ([[1, 2], [3]], {"prediction": [[1, 2], [3]]}),
        ([torch.tensor([1, 2]), torch.tensor([3])], {"prediction": [[1, 2], [3]]}),
        ([np.arange(2), np.arange(2)], {"prediction": [[0, 1], [0, 1]]}),
        ([{"a": 1, "b": 2}, OrderedDict(a=3, b=4)], {"a": [1, 3], "b": [2, 4]}),
        (
            {"a": np.array([1, 2]), "b": torch.tensor([[0.5, 1], [2, 3]]), "c": ["p", None]},
            {"a": [1, 2], "b": [[0.5, 1.0], [2.0, 3.0]], "c": ["p", None]},
        ),
        (OrderedDict(a=pd.Series(["q", "p"], index=[1, 0])), {"a": ["p", "q"]}),
        (np.array([(1, 0.5), (2, 1.5)], dtype="i4,f8"), {"f0": [1, 2], "f1": [0.5, 1.5]}),
        (np.ma.array([2**60 + 1, 7], mask=[0, 1]), {"prediction": [2**60 + 1, None]}),
        (torch.tensor([1 + 2j, 3]).conj().imag, {"prediction": [-2.0, 0.0]}),
        (torch.tensor([1.0, 2.0]).to(torch.float8_e5m2), {"prediction": [1.0, 2.0]}),
        (tuple(torch.tensor([1, 2])), {"prediction": [1, 2]}),
    ],
)
def test_one_entry_per_row_becomes_columns(returned, columns):
    assert joined(returned) == {"key": ["x", "y"], **columns}


@pytest.mark.parametrize("cells", [[2**60 + 1, None], [1, 1.5], [2**60 + 1, float("inf")]])
def test_an_integer_stays_one_whatever_the_other_rows_are(cells):
    for returned in (cells, [{"prediction": cell} for cell in cells]):
        values = joined(returned)["prediction"]
        assert values == cells
        assert [type(value) for value in values] == [type(cell) for cell in cells]


def test_a_field_that_a_mapping_lacks_is_none_or_nan():
    assert joined([{"a": 2**60 + 1}, {"b": "p"}])["a"] == [2**60 + 1, None]
    assert np.isnan(joined([{"a": 0.5}, {"a": float("nan")}])["a"][1])


@pytest.mark.parametrize(
    ("index", "order"),
    [
        ([2, 0, 1], ["q", "r", "p"]),
        (pd.RangeIndex(2, -1, -1), ["r", "q", "p"]),
        ([0, 0, 1], ["p", "q", "r"]),
        ([3, 1, 2], ["p", "q", "r"]),
        (["b", "c", "a"], ["p", "q", "r"]),
        (pd.Index([2, 0, 1], name="id"), ["p", "q", "r"]),
    ],
)
def test_rows_that_predict_put_into_another_order_find_theirs(index, order):
    keys = {"key": np.array(["x", "y", "z"], dtype=object)}
    columns = pd.DataFrame({"a": ["p", "q", "r"]}, index=index)
    for returned in (columns, columns["a"]):
        assert join_predictions(keys, 3, returned)["a"].tolist() == order


@pytest.mark.parametrize(
    ("returned", "value"),
    [
        (torch.tensor([[2.5]]).squeeze(), 2.5),
        (np.array(7), 7),
        (np.float32(0.5), 0.5),
        (0.5, 0.5),
        (2**60 + 1, 2**60 + 1),
        ("cat", "cat"),
        ({"prediction": torch.tensor(3)}, 3),
    ],
)
def test_a_single_value_is_the_entry_of_one_row(returned, value):
    keys = {"key": np.array(["x"], dtype=object)}
    assert join_predictions(keys, 1, returned).to_dict("list") == {
        "key": ["x"],
        "prediction": [value],
    }


def test_columns_in_the_place_of_entries_are_refused():
    keys = {"key": np.array(list("abcd"), dtype=object)}
    with pytest.raises(UnusablePredictionError, match="2 columns of 4 entries: return one entry"):
        join_predictions(keys, 4, [np.zeros((4, 2)), np.zeros(4)])


@pytest.mark.parametrize("rows", [1, 2, 4])
@pytest.mark.parametrize(
    "returned",
    [
        (torch.zeros(4), torch.zeros(4)),
        (np.zeros(2), ["p", "q"]),
        torch.ones((2, 2)).max(dim=1),
        (pd.Series([1, 2]), pd.Series([1, 2])),
        (pa.array([1, 2]), pa.array([1, 2])),
    ],
)
def test_a_tuple_of_arrays_is_refused_whatever_the_number_of_rows(returned, rows):
    keys = {"key": np.array(list("abcd")[:rows], dtype=object)}
    with pytest.raises(UnusablePredictionError, match=r"of 2 arrays.* return a dict of them"):
        join_predictions(keys, rows, returned)


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        ({"a": [1, 2], "b": [1, 2, 3]}, "'a' has 2 entries, 'b' has 3 entries"),
        ({"a": [1, 2], "b": 1}, "'a' has 2 entries, 'b' has 1 entries"),
        ({}, "it is empty"),
        ({"a": None}, "whose 'a' is None"),
        ({"a": {"b": [1, 2]}}, "whose 'a' is a dict"),
        (torch.eye(2).to_sparse(), "layout torch.sparse_coo"),
    ],
)
def test_columns_that_are_none_are_refused(returned, problem):
    with pytest.raises(UnusablePredictionError, match=problem):
        joined(returned)


def test_types_of_columns_are_kept():
    frame = pd.DataFrame(
        {
            "f": np.array([1, 2], dtype=np.float32),
            "c": pd.Categorical(["p", "q"]),
            "t": pd.to_datetime(["2026-01-01", "2026-01-02"], utc=True),
        }
    )
    assert join_predictions(KEYS, 2, frame).dtypes.drop("key").equals(frame.dtypes)
    assert join_predictions(KEYS, 2, [1, 2]).dtypes["prediction"] == np.int64


@pytest.mark.parametrize(
    "returned",
    [
        [1, 2, 3],
        np.arange(3),
        ["ab"] * 3,
        [torch.tensor(1)] * 3,
        pd.DataFrame({"a": [1, 2, 3]}),
        {"a": [1, 2, 3]},
    ],
)
def test_a_wrong_number_of_entries_says_both_numbers(returned):
    with pytest.raises(EntryCountError, match="predict returned 3 entries for 2 rows"):
        joined(returned)


@pytest.mark.parametrize(
    "returned", ["ab", {1, 2}, iter([1, 2]), object(), pd.array([2**53 + 1, None], dtype="Int64")]
)
def test_other_types_are_refused_by_name(returned):
    with pytest.raises(UnusablePredictionError, match=f"returned a {type(returned).__name__}"):
        joined(returned)


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(TakenColumnError, match="a column 'key' that already exists"):
        joined(pd.DataFrame({"key": [1, 2]}))
    with pytest.raises(TakenColumnError, match="'id' that already exists, because key, id are"):
        join_predictions(KEYS, 2, pd.DataFrame({"id": [1, 2]}), reserved=["id"])
    with pytest.raises(UnusablePredictionError, match="several columns 'a'"):
        joined(pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]))


@pytest.mark.parametrize("kind", ["datetime64[ns]", "timedelta64[ns]"])
def test_times_in_lists_stay_times(kind):
    times = np.array([[123456789, 1], [2, "NaT"]], dtype=kind)
    expected = [pd.Series(row).to_list() for row in times]
    for returned in (times, list(times)):
        cells = join_predictions(KEYS, 2, returned)["prediction"]
        assert cells[0] == expected[0]
        assert cells[1][0] == expected[1][0]
        assert cells[1][1] is pd.NaT
