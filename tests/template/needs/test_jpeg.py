"""JPEG files in colour: exactly Pillow's pixels, and Pillow's judgement of damaged files."""

import io
import random
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from template.needs.jpeg import decode_colour_jpeg
from template.parameters import MAX_IMAGE_PIXELS
from template.sources import pixels
from template.sources.streams import UnreadableError

RANDOM = np.random.default_rng(0)
NOISE = Image.fromarray(RANDOM.integers(0, 256, (47, 33, 3), np.uint8))
SMOOTH = Image.fromarray(RANDOM.integers(0, 256, (5, 5, 3), np.uint8)).resize((129, 65))
FILES = {
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "progressive": {"progressive": True},
    "poor": {"quality": 1},
    "restart markers": {"restart_marker_blocks": 2},
    "stored as RGB": {"keep_rgb": True},
}


def encode(image, **options):
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def decode(file):
    with Image.open(io.BytesIO(file)) as image:
        return decode_colour_jpeg(image, file)


@pytest.mark.parametrize("options", FILES.values(), ids=FILES)
@pytest.mark.parametrize("image", [NOISE, SMOOTH, NOISE.crop((0, 0, 1, 1))], ids=lambda i: i.size)
def test_pixels_equal_pillows(image, options):
    file = encode(image, **options)
    decoded = decode(file)
    assert decoded is not None
    assert np.array_equal(decoded, np.asarray(Image.open(io.BytesIO(file))))


def test_files_of_other_kinds_and_damaged_ones_are_left_to_pillow():
    file = encode(NOISE)
    stream = io.BytesIO()
    NOISE.save(stream, "PNG")
    for other in (encode(NOISE.convert("L")), encode(NOISE.convert("CMYK")), stream.getvalue()):
        assert decode(other) is None
    assert decode(file[: len(file) // 2]) is None


@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_file_costs_what_it_holds(progressive):
    """Not the 240 MB of pixels that its header announces."""
    file = encode(NOISE.crop((0, 0, 8, 8)), progressive=progressive)
    size = file.index(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
    huge = file[:size] + (9_000).to_bytes(2) * 2 + file[size + 4 : -2]
    tracemalloc.start()
    try:
        assert decode(huge) is None
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_damaged_files_give_what_pillow_gives(monkeypatch):
    """Hundreds of damaged files, each read with and without the faster decoder."""
    generator = random.Random(0)
    files = [encode(SMOOTH, **options) for options in FILES.values()]
    damaged = [_damage(generator.choice(files), generator) for _ in range(400)]
    found = [_read(file) for file in damaged]
    monkeypatch.setattr(pixels, "decode_colour_jpeg", lambda image, file: None)
    assert found == [_read(file) for file in damaged]
    assert len({isinstance(each, str) for each in found}) == 2, "some are readable, some are not"


def _damage(file, generator):
    data = bytearray(file)
    place = generator.randrange(2, len(data))
    match generator.randrange(4):
        case 0:
            del data[place:]
        case 1:
            del data[place : place + 5]
        case 2:
            data[place] ^= 1 << generator.randrange(8)
        case 3:
            data[place:place] = generator.randbytes(5)
    return bytes(data)


def _read(file):
    try:
        return pixels.decode_image(file, MAX_IMAGE_PIXELS).tobytes()
    except UnreadableError as error:
        return str(error)
