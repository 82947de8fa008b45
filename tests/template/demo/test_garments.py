import gzip

import numpy as np
import pytest

from template.demo.garments import draw_garments, write_idx


def test_equal_seeds_draw_equal_garments():
    images, labels = draw_garments(50, seed=7)
    again, same_labels = draw_garments(50, seed=7)
    others, _ = draw_garments(50, seed=8)

    assert images.shape == (50, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert np.array_equal(images, again)
    assert np.array_equal(labels, same_labels)
    assert not np.array_equal(images, others)


def test_every_class_is_drawn_differently():
    images, labels = draw_garments(1000, seed=1)

    means = [images[labels == label].mean(axis=0) for label in range(10)]

    for first in range(10):
        for second in range(first):
            assert np.abs(means[first] - means[second]).mean() > 4


@pytest.mark.parametrize("name", ["a-idx3-ubyte", "a-idx3-ubyte.gz"])
def test_idx_files_have_the_header_of_the_format(tmp_path, name):
    images, _ = draw_garments(3, seed=1)

    write_idx(tmp_path / name, images)

    content = (tmp_path / name).read_bytes()
    if name.endswith(".gz"):
        content = gzip.decompress(content)
    assert content[:16] == bytes.fromhex("00000803 00000003 0000001c 0000001c")
    assert content[16:] == images.tobytes()
