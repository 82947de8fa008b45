"""Images resized by torch, which differ from Pillow's by 1 of 255 here and there."""

import io

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageFilter

from template.model import Images
from template.needs.fitting import fit_array
from template.parameters import MAX_IMAGE_PIXELS
from template.sources.pixels import decode_image

RANDOM = np.random.default_rng(0)
PHOTO = Image.fromarray(RANDOM.integers(0, 256, (150, 200, 3), np.uint8)).filter(
    ImageFilter.GaussianBlur(2)
)
TALL = Image.fromarray(RANDOM.integers(0, 256, (97, 13), np.uint8))
FILES = {
    "photo": (PHOTO, "JPEG"),
    "PNG": (PHOTO, "PNG"),
    "grey": (TALL, "JPEG"),
    "palette": (PHOTO.quantize(16), "PNG"),
    "small": (PHOTO.crop((0, 0, 3, 2)), "JPEG"),
    "same size": (PHOTO.resize((40, 30)), "JPEG"),
}
FITS = {
    "stretch": {"fit": "stretch"},
    "crop": {"fit": "crop"},
    "larger crop": {"fit": "crop", "shorter_side": 45},
    "pad": {"fit": "pad", "fill": 9},
}


def encode(image, format_, **options):
    stream = io.BytesIO()
    image.save(stream, format_, **options)
    return stream.getvalue()


def decode(file, **declared):
    return decode_image(file, MAX_IMAGE_PIXELS, Images((30, 40), **declared))


@pytest.mark.parametrize("filter_", ["bilinear", "bicubic"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_pixels_differ_from_pillows_by_1_at_most(file, fit, mode, filter_):
    data = encode(*file)
    by_pillow = decode(data, mode=mode, filter=filter_, **fit).astype(int)
    by_torch = decode(data, mode=mode, filter=filter_, resizer="torch", **fit)
    assert by_torch.dtype == np.uint8
    assert not by_torch.flags.writeable
    assert np.abs(by_pillow - by_torch).max() <= 1
    assert (by_pillow != by_torch).mean() < 0.02


@pytest.mark.parametrize("filter_", ["bilinear", "bicubic"])
def test_pixels_are_those_of_torch(filter_):
    data = encode(PHOTO, "JPEG")
    tensor = torch.from_numpy(np.array(Image.open(io.BytesIO(data)))).permute(2, 0, 1)[None]
    expected = torch.nn.functional.interpolate(tensor, (30, 40), mode=filter_, antialias=True)
    array = decode(data, fit="stretch", filter=filter_, resizer="torch")
    assert np.array_equal(array, expected[0].permute(1, 2, 0).numpy())


def test_an_array_is_resized_as_its_file_is():
    declared = Images((30, 40), resizer="torch")
    data = encode(PHOTO, "PNG")
    expected = decode_image(data, MAX_IMAGE_PIXELS, declared)
    assert np.array_equal(fit_array(np.asarray(PHOTO), declared), expected)


def test_turned_and_scaled_files_are_resized_too():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = encode(PHOTO, "JPEG", exif=exif)
    declared = {"orientation": "upright", "fit": "stretch"}
    difference = decode(data, **declared).astype(int) - decode(data, resizer="torch", **declared)
    assert np.abs(difference).max() <= 1
    by_pillow = decode(data, scaled_decoding=True)
    assert np.array_equal(decode(data, scaled_decoding=True, resizer="torch"), by_pillow), (
        "the decoder halves these files, and Pillow resizes what remains"
    )
    near = encode(PHOTO.resize((60, 45)), "JPEG")
    expected = decode(near, resizer="torch")
    assert np.array_equal(decode(near, scaled_decoding=True, resizer="torch"), expected), (
        "too small to be halved"
    )
