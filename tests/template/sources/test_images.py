"""Image files: modes, damage and keys."""

import gzip
import io

import numpy as np
import pytest
from PIL import Image

from template.sources.images import FILES_PER_SPLIT, decode_image, split_images
from template.sources.streams import UnreadableError


def encode(image, format_="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


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
    with pytest.raises(UnreadableError, match="not an image"):
        decode_image(b"")


def test_files_are_grouped():
    paths = [str(number) for number in range(2 * FILES_PER_SPLIT + 1)]
    assert [len(split.paths) for split in split_images(paths)] == [
        FILES_PER_SPLIT,
        FILES_PER_SPLIT,
        1,
    ]


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
    assert set(errors) == {
        f"{tmp_path}/{name}" for name in ("text.png", "cut.jpg", "colour.png", "small.png")
    }
    assert "image of shape (4, 6, 3)" in errors[f"{tmp_path}/colour.png"]["error"]
    assert "image of shape (4, 6):" in errors[f"{tmp_path}/small.png"]["error"]
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
