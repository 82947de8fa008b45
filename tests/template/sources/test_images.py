"""Image files: modes, damage and keys."""

import dataclasses
import gzip
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from template.file_versions import FileVersion
from template.parameters import MAX_IMAGE_PIXELS
from template.sources import pixels
from template.sources.images import split_images
from template.sources.splits import FILES_PER_SPLIT
from template.sources.streams import ReadSettings, UnreadableError


def encode(image, format_="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def decode_image(data, max_pixels=MAX_IMAGE_PIXELS):
    return pixels.decode_image(data, max_pixels)


GREY = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6) * 10)
COLOUR = Image.fromarray(np.arange(72, dtype=np.uint8).reshape(4, 6, 3) * 3)


def test_grey_and_rgb_stay_as_they_are():
    assert np.array_equal(decode_image(encode(GREY)), np.asarray(GREY))
    assert np.array_equal(decode_image(encode(COLOUR)), np.asarray(COLOUR))


@pytest.mark.parametrize(
    ("image", "format_", "shape"),
    [
        (GREY.convert("1"), "PNG", (4, 6)),
        (GREY.convert("LA"), "PNG", (4, 6)),
        (COLOUR.convert("P"), "PNG", (4, 6, 3)),
        (COLOUR.convert("RGBA"), "PNG", (4, 6, 3)),
        (COLOUR.convert("CMYK"), "JPEG", (4, 6, 3)),
        (GREY, "JPEG", (4, 6)),
    ],
)
def test_other_modes_are_converted(image, format_, shape):
    array = decode_image(encode(image, format_))
    assert array.shape == shape
    assert array.dtype == np.uint8
    assert array.flags.writeable


def test_sixteen_bits_are_cut_to_eight():
    deep = np.array([[0, 255, 256, 65535]], dtype=np.uint16)
    assert decode_image(encode(Image.fromarray(deep))).tolist() == [[0, 0, 1, 255]]


def test_a_transparent_palette_is_converted():
    palette = COLOUR.convert("P")
    assert decode_image(encode(palette, transparency=b"\x00" * 8)).shape == (4, 6, 3)


def test_damage_says_why():
    with pytest.raises(UnreadableError, match=r"one of the formats .*, TIFF: it begins with b'hel"):
        decode_image(b"hello, this is text")
    with pytest.raises(UnreadableError, match=r"not a readable image: .*[Tt]runcated"):
        decode_image(encode(COLOUR, "JPEG")[:-30])
    with pytest.raises(UnreadableError, match="not an image: it is empty"):
        decode_image(b"")


def test_files_are_grouped():
    settings = ReadSettings(batch_size=1)
    files = [
        FileVersion(path=f"{number}.png", size=1, generation="1")
        for number in range(2 * FILES_PER_SPLIT + 1)
    ]
    splits = list(split_images(files, settings))
    assert [len(split.paths) for split in splits] == [64] * 7 + [65]
    files[0] = dataclasses.replace(files[0], generation="2")
    again = list(split_images(files, settings))
    assert (splits[0].id.path, splits[0].id.range) == ("0.png", "64 files")
    assert splits[0].id != again[0].id
    assert splits[1:] == again[1:]


def test_a_damaged_gzip_file_costs_one_image(predict, images, tmp_path):
    (image,) = images(1)
    whole = gzip.compress(encode(Image.fromarray(image)))
    (tmp_path / "whole.png.gz").write_bytes(whole)
    (tmp_path / "cut.png.gz").write_bytes(whole[:-20])
    outcome = predict(tmp_path / "*.png.gz", input_format="images")
    assert [row["key"] for row in outcome.predictions] == [f"{tmp_path}/whole.png.gz"]
    (letter,) = outcome.dead_letters
    assert letter["key"] == f"{tmp_path}/cut.png.gz"
    assert "the file is damaged" in letter["error"]


def test_good_images_are_predicted_beside_bad_ones(predict, images, expected, tmp_path):
    array = images(5)
    for number, image in enumerate(array):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    (tmp_path / "text.png").write_text("this is no image")
    (tmp_path / "cut.jpg").write_bytes(encode(GREY, "JPEG")[:-20])
    COLOUR.save(tmp_path / "colour.png")
    GREY.save(tmp_path / "small.png")
    outcome = predict(tmp_path / "*.*g")
    rows = outcome.by_key()
    assert [rows[f"{tmp_path}/{number}.png"]["class_index"] for number in range(5)] == [
        index for index, _ in expected(array)
    ]
    errors = {letter["key"]: letter for letter in outcome.dead_letters}
    assert set(errors) == {f"{tmp_path}/{name}" for name in ("text.png", "cut.jpg")}
    for name, image in (("colour.png", COLOUR.convert("L")), ("small.png", GREY)):
        padded = ImageOps.pad(image, (28, 28), Image.Resampling.BILINEAR)
        ((index, score),) = expected(np.asarray(padded)[None])
        row = rows[f"{tmp_path}/{name}"]
        assert (row["class_index"], row["score"]) == (index, pytest.approx(score, abs=1e-6))
    for key, letter in errors.items():
        assert letter["source"] == key


@pytest.mark.parametrize("format_", ["EPS", "PDF", "PPM", "ICO", "TGA"])
def test_no_other_decoder_of_pillow_is_reached(format_, tmp_path, monkeypatch):
    started = tmp_path / "started"
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {started}\nexit 1\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(UnreadableError, match="not an image in one of the formats"):
        decode_image(encode(COLOUR, format_))
    assert not started.exists()


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "BMP", "TIFF"])
def test_formats_without_loss_are_exact(format_):
    options = {"lossless": True} if format_ == "WEBP" else {}
    assert np.array_equal(decode_image(encode(COLOUR, format_, **options)), np.asarray(COLOUR))


def tiff(array, *, photometric=1):
    """Write a TIFF of one strip by hand, because Pillow cannot write everything that it reads."""
    height, width = array.shape
    fields = {
        256: width,
        257: height,
        258: array.itemsize * 8,
        259: 1,
        262: photometric,
        277: 1,
        278: height,
        279: array.nbytes,
        339: {"u": 1, "i": 2, "f": 3}[array.dtype.kind],
    }
    start = 8 + 2 + 12 * (len(fields) + 1) + 4
    fields[273] = start
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(fields.items())
    )
    head = b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + b"\0" * 4
    return head + array.astype(array.dtype.newbyteorder("<")).tobytes()


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0.0, -1.5, 300.25], [np.nan, np.inf, 1e30]], dtype=np.float32),
        np.array([[0, 255, 65536], [-1, 2**31 - 1, -(2**31)]], dtype=np.int32),
        np.array([[0, 255, 65536], [1, 2**31, 2**32 - 1]], dtype=np.uint32),
        np.array([[0, 127, -128]], dtype=np.int8),
        np.array([[0, 200, 255]], dtype=np.uint8),
    ],
    ids=lambda values: values.dtype.name,
)
def test_values_of_other_types_are_exact(values):
    decoded = decode_image(tiff(values))
    assert decoded.dtype == values.dtype
    assert np.array_equal(decoded, values, equal_nan=True)


def test_signed_16_bits_are_values():
    values = np.array([[0, 300, -300, 32767, -32768]], dtype=np.int16)
    assert decode_image(tiff(values)).tolist() == values.tolist()


@pytest.mark.parametrize(("photometric", "expected"), [(1, [0, 1, 255]), (0, [255, 254, 0])])
def test_sixteen_bits_of_tiff_are_cut_as_those_of_png(photometric, expected):
    deep = np.array([[0, 256, 65535]], dtype=np.uint16)
    assert decode_image(tiff(deep, photometric=photometric)).tolist() == [expected]


@pytest.mark.parametrize("format_", ["GIF", "TIFF", "WEBP", "PNG"])
def test_of_several_frames_the_first_is_read(format_):
    options = {"lossless": True} if format_ == "WEBP" else {}
    frames = encode(GREY, format_, save_all=True, append_images=[COLOUR.convert("L")], **options)
    array = decode_image(frames)
    grey = array if array.ndim == 2 else array[..., 0]  # WebP has no grey
    assert np.array_equal(grey, np.asarray(GREY))


def test_an_image_beyond_the_limit_is_refused_undecoded():
    small_file = encode(Image.new("RGB", (5000, 4000)))
    with pytest.raises(UnreadableError, match=r"max_image_pixels \(19999999\): 5000 x 4000 = 2"):
        decode_image(small_file, 19_999_999)
    assert decode_image(small_file, 20_000_000).shape == (4000, 5000, 3)
    cut_off = encode(Image.new("1", (20_000, 20_000)))[:1000]
    with pytest.raises(UnreadableError, match=r"more than max_image_pixels \(178956970\)"):
        decode_image(cut_off)
    with pytest.raises(UnreadableError, match="damaged: 959 bytes are not 400000000 pixels"):
        decode_image(cut_off, 400_000_000)


def test_a_large_image_is_converted_in_strips_to_the_same_values():
    ramp = np.arange(3000 * 1999 * 3, dtype=np.uint8).reshape(1999, 3000, 3)
    alpha = Image.fromarray(ramp)
    alpha.putalpha(7)
    assert np.array_equal(decode_image(encode(Image.fromarray(ramp))), ramp)
    assert np.array_equal(decode_image(encode(alpha)), ramp)
    assert np.array_equal(decode_image(encode(Image.fromarray(ramp[..., 0]))), ramp[..., 0])


def test_a_png_with_a_wrong_checksum_is_damaged():
    data = bytearray(encode(COLOUR))
    position = data.index(b"IDAT") + 12
    for bit in range(8):
        data[position] ^= 1 << bit
        with pytest.raises(UnreadableError, match=r"damaged: wrong checksum of its chunk b'IDAT'"):
            decode_image(bytes(data))
        data[position] ^= 1 << bit
    assert np.array_equal(decode_image(bytes(data)), np.asarray(COLOUR))


def test_a_png_of_more_pixels_than_its_data_can_hold_is_damaged():
    header = struct.pack(">II", 8, 12)
    data = encode(Image.new("RGB", (8, 12)))
    assert decode_image(data).shape == (12, 8, 3)
    changed = bytearray(data.replace(header, struct.pack(">II", 8, 16_000_000)))
    changed[29:33] = struct.pack(">I", zlib.crc32(changed[12:29]))
    with pytest.raises(UnreadableError, match=r"damaged: \d+ bytes are not 128000000 pixels"):
        decode_image(bytes(changed))
    assert decode_image(encode(Image.new("RGB", (5000, 5000)))).shape == (5000, 5000, 3)


def test_a_tiff_that_lacks_strips_is_damaged():
    data = tiff(np.arange(24, dtype=np.uint8).reshape(4, 6))
    height = struct.pack("<HHII", 257, 4, 1, 4)
    assert decode_image(data).shape == (4, 6)
    with pytest.raises(UnreadableError, match="damaged: 24 of its 30 pixels are there"):
        decode_image(data.replace(height, struct.pack("<HHII", 257, 4, 1, 5)))


def test_files_whose_folders_give_other_columns_are_other_splits():
    settings = ReadSettings(batch_size=1, folder="in/")
    paths = ["in/a.png", "in/label=cat/b.png", "in/c.png", "in/label=dog/d.png"]
    files = [FileVersion(path=path, size=1, generation="1") for path in paths]
    assert [split.paths for split in split_images(files, settings)] == [
        ("in/a.png", "in/c.png"),
        ("in/label=cat/b.png", "in/label=dog/d.png"),
    ]


@settings(max_examples=100, deadline=None)
@given(
    format_=st.sampled_from(["PNG", "BMP", "TIFF", "WEBP"]),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    kind=st.sampled_from(["1", "L", "LA", "RGB", "RGBA", "I;16", "I", "F"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_image_without_loss_is_what_was_written(format_, shape, kind, seed):
    values = np.random.default_rng(seed)
    channels = {"LA": 2, "RGB": 3, "RGBA": 4}.get(kind)
    if kind == "F":
        array = values.normal(size=shape).astype(np.float32) * 1000
    elif kind == "I":
        array = values.integers(-(2**31), 2**31, shape, dtype=np.int32)
    elif kind == "I;16":
        array = values.integers(0, 2**16, shape, dtype=np.uint16)
    elif kind == "1":
        array = values.integers(0, 2, shape, dtype=np.uint8) * 255
    else:
        array = values.integers(0, 256, (*shape, *([channels] if channels else [])), np.uint8)
    image = Image.fromarray(array).convert("1") if kind == "1" else Image.fromarray(array)
    writes = {
        "PNG": {"1", "L", "LA", "RGB", "RGBA", "I;16"},
        "BMP": {"1", "L", "RGB"},
        "TIFF": {"1", "L", "LA", "RGB", "RGBA", "I;16", "I", "F"},
        "WEBP": {"RGB", "RGBA"},
    }
    assume(kind in writes[format_])
    options = {"lossless": True, "exact": True} if format_ == "WEBP" else {}
    expected = {
        "LA": lambda: array[..., 0],
        "RGBA": lambda: array[..., :3],
        "I;16": lambda: (array >> 8).astype(np.uint8),
    }.get(kind, lambda: array)()
    decoded = decode_image(encode(image, format_, **options))
    assert decoded.dtype == expected.dtype
    assert np.array_equal(decoded, expected)
