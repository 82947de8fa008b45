"""Declared images: pixels equal to Pillow's, one array, a normalized tensor."""

import base64
import io
import json
import pickle
from pathlib import Path

import apache_beam as beam
import numpy as np
import pandas as pd
import pytest
import torch
from apache_beam.testing.util import assert_that
from PIL import ExifTags, Image, ImageFilter, ImageOps

from template.blocks import image_frame, object_cells
from template.file_versions import FileVersion
from template.messages import Message, Messages
from template.model import BaseModel, Images, stack_images
from template.parameters import MAX_IMAGE_PIXELS
from template.rows import Rows
from template.sources.idx import split_idx
from template.sources.images import split_images
from template.sources.messages import DecodeMessages, MessageSettings, decode_message
from template.sources.pixels import decode_image
from template.sources.streams import ReadSettings, UnreadableError

FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
RANDOM = np.random.default_rng(0)
PHOTO = Image.fromarray(RANDOM.integers(0, 256, (75, 100, 3), np.uint8)).filter(
    ImageFilter.GaussianBlur(2)
)
WIDE = Image.fromarray(RANDOM.integers(0, 256, (31, 200, 3), np.uint8))
TALL = Image.fromarray(RANDOM.integers(0, 256, (97, 13), np.uint8))
ALPHA = Image.fromarray(RANDOM.integers(0, 256, (40, 50, 4), np.uint8))
PALETTE = PHOTO.quantize(16)
EXACT = Image.fromarray(RANDOM.integers(0, 256, (24, 32, 3), np.uint8))
SOURCES = {
    "photo": PHOTO,
    "wide": WIDE,
    "tall grey": TALL,
    "alpha": ALPHA,
    "palette": PALETTE,
    "one bit": TALL.convert("1"),
    "exact": EXACT,
    "small": Image.fromarray(RANDOM.integers(0, 256, (3, 2, 3), np.uint8)),
}


def encode(image, format_="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, format_, **options)
    return stream.getvalue()


def decode(data, declared):
    return decode_image(data, MAX_IMAGE_PIXELS, declared)


def torchvision_crop(image, size, shorter_side, resampling):
    """What torchvision's Resize and CenterCrop do, done with Pillow."""
    width, height = image.size
    short, long = sorted(image.size)
    resized = (shorter_side, int(shorter_side * long / short))
    image = image.resize(resized if width <= height else resized[::-1], resampling)
    tall, wide = size
    top, left = round((image.height - tall) / 2.0), round((image.width - wide) / 2.0)
    return image.crop((left, top, left + wide, top + tall))


@pytest.mark.parametrize("filter_", FILTERS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("source", SOURCES)
class TestPixelsEqualPillows:
    def expected(self, source, mode):
        image = Image.open(io.BytesIO(encode(SOURCES[source])))
        return image.convert(mode)

    def test_stretched(self, source, mode, filter_):
        declared = Images((24, 32), mode, fit="stretch", filter=filter_)
        image = self.expected(source, mode).resize((32, 24), Image.Resampling[filter_.upper()])
        assert np.array_equal(decode(encode(SOURCES[source]), declared), np.asarray(image))

    def test_cut_from_the_centre(self, source, mode, filter_):
        declared = Images(24, mode, shorter_side=30, filter=filter_)
        resampling = Image.Resampling[filter_.upper()]
        image = torchvision_crop(self.expected(source, mode), (24, 24), 30, resampling)
        assert np.array_equal(decode(encode(SOURCES[source]), declared), np.asarray(image))

    def test_padded(self, source, mode, filter_):
        fill = 7 if mode == "L" else (7, 8, 9)
        declared = Images((24, 32), mode, fit="pad", fill=fill, filter=filter_)
        resampling = Image.Resampling[filter_.upper()]
        image = ImageOps.pad(self.expected(source, mode), (32, 24), resampling, fill)
        assert np.array_equal(decode(encode(SOURCES[source]), declared), np.asarray(image))


def test_a_crop_without_a_shorter_side_cuts_off_as_little_as_possible():
    for image in SOURCES.values():
        for size in ((24, 24), (24, 32), (32, 24)):
            tall, wide = size
            scale = max(wide / image.width, tall / image.height)
            resized = (max(wide, int(image.width * scale)), max(tall, int(image.height * scale)))
            array = decode(encode(image), Images(size))
            assert array.shape == (*size, 3)
            whole = image.convert("RGB").resize(resized, Image.Resampling.BILINEAR)
            left, top = round((resized[0] - wide) / 2.0), round((resized[1] - tall) / 2.0)
            cut = whole.crop((left, top, left + wide, top + tall))
            assert np.array_equal(array, np.asarray(cut)), (image.size, size)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_an_image_is_turned_upright_as_pillow_does(format_, turn):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    data = encode(PHOTO, format_, exif=exif)
    image = Image.open(io.BytesIO(data))
    upright = ImageOps.exif_transpose(image).resize((20, 30), Image.Resampling.BILINEAR)
    declared = Images((30, 20), fit="stretch", orientation="upright")
    assert np.array_equal(decode(data, declared), np.asarray(upright))
    stored = image.resize((20, 30), Image.Resampling.BILINEAR)
    declared = Images((30, 20), fit="stretch")
    assert np.array_equal(decode(data, declared), np.asarray(stored))


def test_grey_of_16_bits_is_cut_to_8_before_it_is_fitted():
    deep = RANDOM.integers(0, 1 << 16, (40, 30), np.uint16)
    cut = Image.fromarray((deep >> 8).astype(np.uint8)).resize((20, 10), Image.Resampling.BILINEAR)
    declared = Images((10, 20), "L", fit="stretch")
    assert np.array_equal(decode(encode(Image.fromarray(deep)), declared), np.asarray(cut))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    declared = Images((10, 20), "L", fit="stretch", orientation="upright")
    turned = Image.fromarray((deep >> 8).astype(np.uint8)).transpose(Image.Transpose.ROTATE_270)
    array = decode(encode(Image.fromarray(deep), exif=exif), declared)
    assert np.array_equal(array, np.asarray(turned.resize((20, 10), Image.Resampling.BILINEAR)))


def test_pixels_that_are_not_of_8_bits_are_refused():
    floats = encode(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "TIFF")
    with pytest.raises(UnreadableError, match="not a whole number from 0 to 255"):
        decode(floats, Images(4, "L"))


def test_scaled_decoding_changes_little_of_a_large_jpeg_and_nothing_of_others():
    large = PHOTO.resize((1003, 749), Image.Resampling.BICUBIC)
    exact = decode(encode(large, "JPEG"), Images(64)).astype(int)
    scaled = decode(encode(large, "JPEG"), Images(64, scaled_decoding=True)).astype(int)
    assert 0 < np.abs(exact - scaled).mean() < 2
    for data in (encode(large), encode(PHOTO, "JPEG")):
        same = decode(data, Images(64, scaled_decoding=True))
        assert np.array_equal(decode(data, Images(64)), same)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = encode(large, "JPEG", exif=exif)
    upright = decode(data, Images((64, 48), orientation="upright")).astype(int)
    declared = Images((64, 48), orientation="upright", scaled_decoding=True)
    assert 0 < np.abs(upright - decode(data, declared)).mean() < 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"mode": "L"}, "give size as well"),
        ({"size": 0}, "height, width"),
        ({"size": (2, 3, 4)}, "height, width"),
        ({"size": (2, 3.5)}, "height, width"),
        ({"size": 1 << 20}, "more than"),
        ({"size": 2, "mode": "BGR"}, "mode='BGR'.: not one of RGB, L"),
        ({"size": 2, "fit": "cut"}, "not one of stretch, crop, pad"),
        ({"size": 2, "filter": "linear"}, "not one of nearest, box"),
        ({"size": 2, "orientation": 1}, "not one of stored, upright"),
        ({"size": 20, "shorter_side": 19}, "not less than the size"),
        ({"size": 20, "shorter_side": 20, "fit": "pad"}, "only for fit='crop'"),
        ({"size": 2, "mean": (1.0, 2.0)}, "2 values for 3 channels"),
        ({"size": 2, "std": (1.0, 0.0, 1.0)}, "division by 0"),
        ({"size": 2, "fill": 256}, "not from 0 to 255"),
        ({"size": 2, "resizer": "cv2"}, "resizer='cv2'.: not one of pillow, torch"),
        ({"size": 2, "resizer": "torch", "filter": "box"}, "has bilinear and bicubic"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_declared(arguments, reason):
    with pytest.raises(ValueError, match=r"^Images\(.*") as info:
        Images(**arguments)
    assert reason.replace(".: ", "): ") in str(info.value)


class Model(BaseModel):
    images = Images((4, 5), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))


class Grey(Model):
    images = Images((4, 5), mode="L")


@pytest.mark.parametrize(
    "cell", ["iVBORw0KGgo=", b"\x89PNG", {"b64": "iVBORw0KGgo="}], ids=["text", "bytes", "object"]
)
def test_an_image_that_nobody_decoded_says_what_to_declare(cell):
    df = pd.DataFrame({"image": [cell]})
    for make in (stack_images, Model("").images):
        with pytest.raises(ValueError, match=r"declare columns = \[Column\('image', 'image'\)"):
            make(df)


def test_a_declaration_is_inherited_and_pickled():
    class Child(Model):
        pass

    assert Child.images is Model.images
    assert pickle.loads(pickle.dumps(Model.images)) == Model.images
    assert BaseModel.images.is_declared is False


def test_the_tensor_is_that_of_totensor_and_normalize():
    pixels = RANDOM.integers(0, 256, (3, 4, 5, 3), np.uint8)
    frame = image_frame(pixels.copy())
    tensor = Model("m").images(frame)
    expected = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(torch.float32).div(255)
    mean, std = (torch.tensor(each)[:, None, None] for each in ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7)))
    assert torch.equal(tensor, expected.sub(mean).div(std))
    assert tensor.is_contiguous()
    tensor.zero_()
    assert np.array_equal(stack_images(frame), pixels)
    grey = RANDOM.integers(0, 256, (3, 4, 5), np.uint8)
    tensor = Grey("m").images(image_frame(grey))
    assert torch.equal(tensor, torch.from_numpy(grey)[:, None].to(torch.float32).div(255))


def test_arrays_and_lists_of_a_users_own_pipeline_are_fitted_as_well():
    grey = RANDOM.integers(0, 256, (4, 5), np.uint8)
    wide = RANDOM.integers(0, 256, (4, 50, 3), np.uint8)
    cells = object_cells([grey, grey.ravel(), grey.tolist(), grey.astype(float), wide])
    tensor = Grey("m").images(pd.DataFrame({"image": cells}))
    assert tensor.shape == (5, 1, 4, 5)
    assert all(torch.equal(tensor[0], tensor[position]) for position in (1, 2, 3))
    with pytest.raises(ValueError, match=r"is a str, not an array of pixels"):
        Grey("m").images(pd.DataFrame({"image": ["text"]}))


class TestStacking:
    def test_images_of_one_array_are_not_copied(self):
        pixels = RANDOM.integers(0, 256, (6, 60, 50, 3), np.uint8)
        frame = image_frame(pixels)
        assert np.shares_memory(stack_images(frame), pixels)
        assert np.array_equal(stack_images(frame), pixels)
        part = frame.iloc[2:5]
        assert np.shares_memory(stack_images(part), pixels)
        assert np.array_equal(stack_images(part), pixels[2:5])

    def test_images_in_another_order_are_copied_in_theirs(self):
        pixels = RANDOM.integers(0, 256, (6, 60, 50), np.uint8)
        for order in ([5, 1, 2, 3, 4, 0], [0, 2, 1, 3, 4, 5], [0, 0, 1, 2, 3, 4], [1, 3, 5]):
            frame = image_frame(pixels).iloc[order]
            assert np.array_equal(stack_images(frame), pixels[order])
            assert not np.shares_memory(stack_images(frame), pixels)

    def test_views_that_are_not_whole_images_are_copied(self):
        pixels = RANDOM.integers(0, 256, (6, 120, 100), np.uint8)
        for cells in (
            [image[:60] for image in pixels],
            [image[:, ::2] for image in pixels],
            [image.T for image in pixels],
            [image.copy() for image in pixels],
        ):
            stacked = stack_images(pd.DataFrame({"image": object_cells(cells)}))
            assert np.array_equal(stacked, np.stack(cells))
            assert not np.shares_memory(stacked, pixels)

    def test_several_shapes_are_named(self):
        frame = image_frame([np.zeros((2, 3), np.uint8), np.zeros((3, 3), np.uint8)])
        with pytest.raises(ValueError, match=r"shapes \(2, 3\), \(3, 3\): declare images"):
            stack_images(frame)


class TestBlocks:
    def read(self, paths, declared, batch_size=4):
        files = [FileVersion(path=str(path), size=1, generation="1") for path in paths]
        settings = ReadSettings(batch_size=batch_size, images=declared)
        (split,) = split_images(files, settings)
        return list(split.read(settings))

    def test_files_are_read_into_one_array_and_restored_from_it(self, tmp_path):
        for number in range(6):
            (tmp_path / f"{number}.png").write_bytes(encode(PHOTO.rotate(number)))
        (tmp_path / "5.png").write_bytes(b"no image")
        declared = Images((60, 50))
        blocks = self.read(sorted(tmp_path.glob("*.png")), declared)
        letter = next(each for each in blocks if not hasattr(each, "frame"))
        assert letter.key.endswith("5.png")
        first, second = (each for each in blocks if hasattr(each, "frame"))
        assert (len(first), len(second)) == (4, 1)
        rows = Rows(first)
        taken = rows.take(0, 4).frame
        assert stack_images(taken).base is not None
        assert stack_images(taken).shape == (4, 60, 50, 3)
        before = stack_images(taken).copy()
        for number, key in enumerate(first.beside["key"]):
            assert np.array_equal(before[number], decode(Path(key).read_bytes(), declared))
        stack_images(taken)[:] = 0
        assert np.array_equal(stack_images(rows.take(0, 4).frame), before)
        half = rows.take(1, 3).frame
        assert np.array_equal(stack_images(half), before[1:3])
        assert stack_images(half).base is half["image"][0].base

    def test_a_large_file_is_kept_as_its_pixels(self, tmp_path):
        noise = RANDOM.integers(0, 256, (300, 300, 3), np.uint8)
        (tmp_path / "a.png").write_bytes(encode(Image.fromarray(noise)))
        (block,) = self.read([tmp_path / "a.png"], Images(10))
        (kept,) = block.origin.files
        assert isinstance(kept, np.ndarray)
        before = stack_images(block.frame).copy()
        stack_images(block.frame)[:] = 0
        assert np.array_equal(stack_images(block.origin()), before)

    @pytest.mark.parametrize("shape", [(28, 28), (784,), (30, 56), (20, 20, 3)])
    def test_idx_is_fitted(self, shape, write_idx):
        images = RANDOM.integers(0, 256, (5, *shape), np.uint8)
        path = write_idx(images)
        settings = ReadSettings(batch_size=3, images=Images(28, "L", fit="stretch"))
        file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
        (split,) = split_idx(file, settings)
        blocks = list(split.read(settings))
        stacked = np.concatenate([stack_images(block.frame) for block in blocks])
        if shape in ((28, 28), (784,)):
            assert np.array_equal(stacked, images.reshape(5, 28, 28))
        else:
            fitted = [Image.fromarray(image).convert("L") for image in images]
            fitted = [image.resize((28, 28), Image.Resampling.BILINEAR) for image in fitted]
            assert np.array_equal(stacked, np.stack(list(map(np.asarray, fitted))))
        assert [row for block in blocks for row in block.index] == [0, 1, 2, 3, 4]

    def test_rows_of_idx_that_are_not_pixels_are_dead_letters(self, write_idx):
        images = np.full((3, 4, 4), 7, ">f4")
        images[1, 2, 2] = 0.5
        path = write_idx(images)
        settings = ReadSettings(batch_size=3, images=Images(4, "L"))
        file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
        (split,) = split_idx(file, settings)
        letter, block = split.read(settings)
        assert letter.key == f"{path.name}#1"
        assert "not a whole number from 0 to 255" in letter.error
        assert list(block.index) == [0, 2]
        assert (stack_images(block.frame) == 7).all()


@pytest.mark.parametrize(
    "kind", ["file", "pixels", "base64", "base64 pixels", "list", "other size"]
)
def test_messages_of_every_kind_are_fitted(kind):
    grey = RANDOM.integers(0, 256, (4, 5), np.uint8)
    wide = RANDOM.integers(0, 256, (8, 10), np.uint8)
    payload, attributes = {
        "file": (encode(Image.fromarray(grey)), {}),
        "pixels": (grey.tobytes(), {"content_type": "application/octet-stream"}),
        "base64": (_json(base64.b64encode(encode(Image.fromarray(grey))).decode()), {}),
        "base64 pixels": (_json(base64.b64encode(grey.tobytes()).decode()), {}),
        "list": (_json(grey.tolist()), {}),
        "other size": (encode(Image.fromarray(wide)), {}),
    }[kind]
    settings = MessageSettings(images=Grey.images)
    messages = Messages(Message(payload, attributes, str(number), 0.0) for number in range(3))
    with beam.Pipeline() as pipeline:
        blocks, _ = pipeline | beam.Create([messages]) | DecodeMessages(settings)

        def check(found):
            (block,) = found
            stacked = stack_images(block.frame)
            halved = Image.fromarray(wide).resize((5, 4), Image.Resampling.BILINEAR)
            expected = np.asarray(halved) if kind == "other size" else grey
            assert np.array_equal(stacked, np.stack([expected] * 3))
            stacked[:] = 0

        assert_that(blocks, check)


def test_pixels_of_another_number_are_a_dead_letter():
    message = Message(b"abc", {}, "1", 0.0)
    settings = MessageSettings(message_format="pixels", images=Grey.images)
    with pytest.raises(ValueError, match=r"shape \(3,\).* 20 values, of which .* 4 x 5 grey"):
        decode_message(message, settings)


def _json(image):
    return json.dumps({"image": image}).encode()
