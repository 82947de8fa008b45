"""Blocks: sizes, sources and the coder."""

import numpy as np
import pandas as pd
import pytest
import torch

from template.blocks import (
    KEY,
    Block,
    BlockCoder,
    frame_bytes,
    make_blocks,
    object_cells,
    row_keys,
    row_source,
)


@pytest.fixture
def block(images):
    """Five images, rows 10 to 14 of a file."""
    frame = pd.DataFrame({"image": object_cells(images(5))})
    rows = range(10, 15)
    (made,) = make_blocks(
        frame, beside={KEY: row_keys("x", rows)}, rows=rows, path="gs://b/d/x", batch_size=5
    )
    return made


def test_keys_and_sources_name_the_row(block):
    assert block.beside[KEY].tolist() == ["x#10", "x#11", "x#12", "x#13", "x#14"]
    assert row_source(block.take(2, 5), 1, "x#13") == "gs://b/d/x row 13"
    assert row_source(pd.DataFrame({"a": [1]}), 0, "k") == "k"


def test_cells_are_views(images):
    array = images(3)
    assert all(np.shares_memory(cell, array) for cell in object_cells(array))


def test_bytes_are_those_of_the_data(block):
    assert frame_bytes(block.frame) == 5 * 784
    assert frame_bytes(pd.DataFrame({"a": ["x#10"] * 5})) == 5 * len("x#10")
    assert frame_bytes(pd.DataFrame({"a": [1.0, 2.0]})) == 16
    assert frame_bytes(pd.DataFrame({"v": [torch.zeros(100, 28, 28)]})) == 100 * 784 * 4
    assert frame_bytes(pd.DataFrame({"v": [[1, 2], None, "x"]})) > 0


def test_bytes_of_a_wide_table_are_estimated_from_some_rows():
    rows = 1000
    texts = {f"t{number}": ["x" * (row % 9) for row in range(rows)] for number in range(100)}
    numbers = {f"n{number}": np.arange(rows) for number in range(100)}
    exact = 100 * rows * (8 + 4)
    assert frame_bytes(pd.DataFrame(texts | numbers)) == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize(
    ("dtype", "row_bytes"),
    [
        ("Int64", 8),
        ("boolean", 1),
        ("datetime64[ns]", 8),
        ("datetime64[ns, UTC]", 8),
        ("float32[pyarrow]", 4),
        ("string[pyarrow]", 1),
        (object, 1),
    ],
)
def test_bytes_of_other_types(dtype, row_bytes):
    cells = ["1", "0"] if dtype in ("string[pyarrow]", object) else [1, 0]
    frame = pd.DataFrame({"a": pd.Series(cells, dtype=dtype)})
    assert frame_bytes(frame) == 2 * row_bytes
    assert frame_bytes(frame[:0]) == frame_bytes(pd.DataFrame(index=range(3))) == 0


def test_the_coder_keeps_all_and_estimates(block):
    coder = BlockCoder()
    copy = coder.decode(coder.encode(block))
    assert copy.attrs == block.attrs
    assert copy.index.equals(block.index)
    assert copy.beside[KEY].tolist() == block.beside[KEY].tolist()
    assert np.array_equal(np.stack(copy.frame["image"]), np.stack(block.frame["image"]))
    assert coder.estimate_size(block) == frame_bytes(block.frame)


def test_rows_keep_what_travels_beside_them():
    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": ["x", 2, 3]})
    (block,) = make_blocks(
        frame,
        beside={KEY: row_keys("t", range(7, 10))},
        rows=range(7, 10),
        path="t",
        batch_size=10,
        integers=["a"],
    )
    rows = block.take(2, 3)
    assert rows.beside[KEY].tolist() == ["t#9"]
    assert (rows.index.tolist(), rows.frame.index.tolist()) == ([9], [0])
    assert rows.frame.dtypes.tolist() == [np.int64, np.int64]
    assert block.take(1, 3).frame["a"].dtype == np.float64


def test_columns_need_not_be_there_for_rows_to_count():
    (block,) = make_blocks(
        pd.DataFrame(index=range(3)),
        beside={KEY: row_keys("t", range(3))},
        rows=range(3),
        path="t",
        batch_size=3,
    )
    assert (len(block), len(block.frame), len(block.take(1, 3).frame)) == (3, 3, 2)


def test_rows_are_taken_of_a_block_with_an_integer_beyond_every_float():
    frame = pd.DataFrame({"n": pd.Series([10**400, 1], dtype=object)})
    block = Block(frame=frame, beside={}, index=frame.index)
    assert block.take(0, 1).frame["n"].tolist() == [10**400]
