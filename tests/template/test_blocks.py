"""Blocks: sizes, sources and the coder."""

import numpy as np
import pandas as pd
import pytest
import torch

from template.blocks import BlockCoder, block_bytes, image_cells, make_blocks, row_keys, row_source


@pytest.fixture
def block(images):
    """Five images, rows 10 to 14 of a file."""
    frame = pd.DataFrame({"image": image_cells(images(5))})
    rows = range(10, 15)
    (made,) = make_blocks(
        frame, keys=row_keys("x", rows), rows=rows, path="gs://b/d/x", batch_size=5
    )
    return made


def test_keys_and_sources_tell_the_row(block):
    assert block["key"].tolist() == ["x#10", "x#11", "x#12", "x#13", "x#14"]
    assert row_source(block.iloc[2:], 1, "x#13") == "gs://b/d/x row 13"
    assert row_source(pd.DataFrame({"a": [1]}), 0, "k") == "k"


def test_cells_are_views(images):
    array = images(3)
    assert all(np.shares_memory(cell, array) for cell in image_cells(array))


def test_bytes_are_those_of_the_data(block):
    assert block_bytes(block) == 5 * 784 + 5 * len("x#10")
    assert block_bytes(pd.DataFrame({"a": [1.0, 2.0]})) == 16
    assert block_bytes(pd.DataFrame({"v": [torch.zeros(100, 28, 28)]})) == 100 * 784 * 4
    assert block_bytes(pd.DataFrame({"v": [[1, 2], None, "x"]})) > 0


def test_the_coder_keeps_all_and_estimates(block):
    coder = BlockCoder()
    copy = coder.decode(coder.encode(block))
    assert copy.attrs == block.attrs
    assert copy.index.equals(block.index)
    assert np.array_equal(np.stack(copy["image"]), np.stack(block["image"]))
    assert coder.estimate_size(block) == block_bytes(block)
