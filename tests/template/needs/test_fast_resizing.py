"""torch's resizing beside Pillow's."""

import io

import numpy as np
import pytest
from PIL import Image

from template.model import Images
from template.needs import fast_resizing
from template.parameters import MAX_IMAGE_PIXELS
from template.sources.pixels import decode_image

RANDOM = np.random.default_rng(7)
SIZES = {"large": (500, 375), "wide": (301, 20), "smaller": (40, 30), "one pixel": (1, 1)}


def decode(image, **declared):
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return decode_image(stream.getvalue(), MAX_IMAGE_PIXELS, Images((96, 64), **declared))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_pixels_differ_from_those_of_pillow_by_1_at_most(size, fit, mode):
    image = Image.fromarray(RANDOM.integers(0, 256, (*size[::-1], 3), np.uint8))
    exact = decode(image, fit=fit, mode=mode)
    fast = decode(image, fit=fit, mode=mode, fast_resizing=True)
    assert (fast.shape, fast.dtype) == (exact.shape, np.uint8)
    assert not fast.flags.writeable
    assert np.abs(exact.astype(int) - fast).max() <= 1


def test_few_pixels_of_a_large_image_differ_and_none_without_torch(monkeypatch):
    image = Image.fromarray(RANDOM.integers(0, 256, (375, 500, 3), np.uint8))
    exact = decode(image)
    assert 0 < (exact != decode(image, fast_resizing=True)).mean() < 0.01
    monkeypatch.setattr(fast_resizing, "_HAS_TORCH", False)
    assert np.array_equal(exact, decode(image, fast_resizing=True))


def test_an_image_of_the_declared_size_keeps_its_pixels():
    pixels = RANDOM.integers(0, 256, (96, 64, 3), np.uint8)
    assert np.array_equal(decode(Image.fromarray(pixels), fast_resizing=True), pixels)
