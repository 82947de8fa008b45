"""IDX files, whole and damaged, through the whole pipeline."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from template.file_versions import FileVersion
from template.sources.idx import ROWS_PER_SPLIT, IdxSplit, split_idx
from template.sources.streams import ReadSettings
from tests.template.support import join_blocks


def read_all(path, batch_size=1000):
    settings = ReadSettings(batch_size=batch_size)
    splits = list(
        split_idx(FileVersion(path=str(path), size=path.stat().st_size, generation="1"), settings)
    )
    return splits, [part for split in splits for part in split.read(settings)]


@pytest.mark.parametrize("name", ["x-images-idx3-ubyte", "x-images-idx3-ubyte.gz"])
def test_every_row_is_predicted_as_plain_torch_does(predict, write_idx, images, expected, name):
    array = images(300)
    outcome = predict(write_idx(array, name), batch_size=128)
    rows = outcome.by_key()
    assert set(rows) == {f"{name}#{row}" for row in range(300)}
    for row, (index, score) in enumerate(expected(array)):
        assert rows[f"{name}#{row}"]["class_index"] == index
        assert rows[f"{name}#{row}"]["score"] == pytest.approx(score, abs=1e-6)
    assert outcome.dead_letters == []
    assert outcome.files == ["result-00000-of-00001.jsonl"]


def test_a_plain_file_is_split_and_every_row_is_read_once(write_idx):
    rows = 2 * ROWS_PER_SPLIT + 5
    array = np.arange(rows * 4, dtype=np.uint32).view(np.uint8).reshape(rows, 4, 4)
    splits, blocks = read_all(write_idx(array))
    assert [(split.start, split.stop) for split in splits] == [
        (0, ROWS_PER_SPLIT),
        (ROWS_PER_SPLIT, 2 * ROWS_PER_SPLIT),
        (2 * ROWS_PER_SPLIT, rows),
    ]
    assert max(map(len, blocks)) == 1000
    whole = join_blocks(blocks)
    assert whole.index.tolist() == list(range(rows))
    assert np.array_equal(np.stack(whole["image"]), array)


def test_a_gzip_file_is_one_split(write_idx, images):
    splits, blocks = read_all(write_idx(images(2500), "x-idx3-ubyte.gz"))
    assert [type(split) for split in splits] == [IdxSplit]
    assert [len(block) for block in blocks] == [1000, 1000, 500]


def test_floats_are_read_in_the_order_of_this_machine(write_idx):
    array = np.linspace(0, 1, 3 * 4, dtype=np.float32).reshape(3, 2, 2)
    _, (block,) = read_all(write_idx(array))
    stacked = np.stack(block.frame["image"])
    assert stacked.dtype == np.dtype("float32")
    assert stacked.dtype.isnative
    assert np.array_equal(stacked, array)


@pytest.mark.parametrize("name", ["x-idx3-ubyte", "x-idx3-ubyte.gz"])
def test_of_a_truncated_file_the_complete_rows_are_predicted(predict, write_idx, images, name):
    path = write_idx(images(200), name, cut=784 * 50 + 100)
    if name.endswith(".gz"):
        complete = _readable_bytes(path)
        complete = (complete - 16) // 784
    else:
        complete = 149
    assert 100 < complete < 200
    outcome = predict(path, batch_size=64)
    assert len(outcome.predictions) == complete
    (letter,) = outcome.dead_letters
    assert letter["source"] == f"{path} rows {complete}-199"
    assert f"rows {complete} to 199 are missing" in letter["error"]
    assert outcome.counters["rows_read"] == complete + 1


def _readable_bytes(path):
    """Count the bytes that zlib itself gets out of a truncated gzip file."""
    import zlib

    return len(zlib.decompressobj(wbits=31).decompress(path.read_bytes()))


def test_a_gzip_file_with_a_wrong_checksum_is_reported(predict, write_idx, images):
    path = write_idx(images(20), "x-idx3-ubyte.gz")
    data = bytearray(path.read_bytes())
    data[-8] ^= 0xFF
    path.write_bytes(data)
    outcome = predict(path)
    assert len(outcome.predictions) == 20
    assert "all 20 rows are read, but the file is damaged" in outcome.dead_letters[0]["error"]


@pytest.mark.parametrize("name", ["x-idx3-ubyte", "x-idx3-ubyte.gz"])
def test_bytes_after_the_last_row_are_reported(predict, write_idx, images, name):
    outcome = predict(write_idx(images(3), name, extra=b"more"))
    assert len(outcome.predictions) == 3
    assert "bytes follow the 3 rows" in outcome.dead_letters[0]["error"]


def test_files_that_hold_no_images_are_one_dead_letter_each(predict, write_idx, images, tmp_path):
    reasons = {
        "empty": (b"", "not an IDX file: the file ends too early"),
        "text": (b"hello world", "not an IDX file: it begins with 68656c6c"),
        "header": (b"\0\0\x08\x03\0\0", "its IDX header is cut off"),
        "labels": (b"\0\0\x08\x01\0\0\0\x02\1\2", "an IDX file of 2 labels, not of images"),
        "huge": (b"\0\0\x08\x03" + b"\xff" * 12, "its IDX header announces images of shape"),
        "ranks": (b"\0\0\x08\xff" + b"\0\0\0\1" * 255, "announces 255 dimensions, more than 8"),
        "zero": (b"\0\0\x08\x02\0\0\0\1\0\0\0\0", "announces images of shape (0,)"),
        "twice": (gzip.compress(gzip.compress(b"\0\0\x08\x03")), "compressed with gzip twice"),
    }
    for name, (content, _) in reasons.items():
        (tmp_path / f"{name}-idx3-ubyte").write_bytes(content)
    (tmp_path / "plain-idx3-ubyte.gz").write_bytes(b"plain text")
    write_idx(images(5), "good-idx3-ubyte")
    outcome = predict(tmp_path / "*-idx3-ubyte*")
    assert len(outcome.predictions) == 5
    errors = {letter["source"]: letter["error"] for letter in outcome.dead_letters}
    assert "Not a gzipped file" in errors.pop(str(tmp_path / "plain-idx3-ubyte.gz"))
    assert len(errors) == len(reasons)
    for name, (_, reason) in reasons.items():
        assert reason in errors[str(tmp_path / f"{name}-idx3-ubyte")]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    code=st.sampled_from([(0x08, "u1"), (0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4")]),
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=5).map(tuple),
    batch_size=st.integers(1, 7),
    compress=st.booleans(),
    data=st.data(),
)
def test_every_image_is_what_numpy_reads(tmp_path, code, shape, batch_size, compress, data):
    magic, dtype = code
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    content = data.draw(st.binary(min_size=size, max_size=size))
    header = bytes([0, 0, magic, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(header + content) if compress else header + content)
    read = ReadSettings(batch_size=batch_size)
    file = FileVersion(path=str(path), size=path.stat().st_size, generation="1")
    blocks = [block for split in split_idx(file, read) for block in split.read(read)]
    assert all(len(block) <= batch_size for block in blocks)
    images = np.stack([image for block in blocks for image in block.frame["image"]])
    expected = np.frombuffer(content, dtype).reshape(shape)
    assert images.dtype == expected.dtype.newbyteorder("=")
    assert images.tobytes() == expected.astype(images.dtype).tobytes()
