"""What fitted images hold in memory, and share."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from template.blocks import object_cells
from template.model import Images, stack_images
from template.needs.fitting import fit_array
from template.parameters import MAX_IMAGE_PIXELS
from template.sources.pixels import decode_image

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (75, 100, 3), np.uint8))


def encode(image):
    stream = io.BytesIO()
    image.save(stream, "JPEG")
    return stream.getvalue()


def decode(data, declared):
    return decode_image(data, MAX_IMAGE_PIXELS, declared)


@pytest.mark.parametrize("resizer", ["pillow", "torch"])
def test_a_fitted_image_does_not_hold_what_is_cut_off(resizer):
    """An image of 1 x 300 pixels is resized to 20 x 6000."""
    for size in ((20, 30), (30, 20), (1, 300), (300, 1)):
        data = encode(PHOTO.resize(size))
        held = decode(data, Images(20, resizer=resizer))
        while isinstance(held.base, np.ndarray):
            held = held.base
        assert held.nbytes == 20 * 20 * 3


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1)])
def test_a_line_is_not_resized_to_gigabytes_to_be_cut(size):
    line = Image.new("RGB", size)
    for fit in (
        lambda **declared: decode(encode(line), Images(224, **declared)),
        lambda **declared: fit_array(np.asarray(line), Images(224, **declared)),
    ):
        with pytest.raises(ValueError, match=r"1120000 before it is cropped|1120000 x 224 before"):
            fit()
        assert fit(fit="pad").shape == (224, 224, 3)


@pytest.mark.parametrize("resizer", ["pillow", "torch"])
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_stacking_a_read_only_image_copies_it(fit, resizer):
    image = decode(encode(PHOTO), Images(64, fit=fit, resizer=resizer))
    before = image.copy()
    stack_images(pd.DataFrame({"image": object_cells([image])}))[:] = 0
    assert np.array_equal(image, before)
