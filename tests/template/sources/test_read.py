"""Files of several formats and folders in one job."""

import gzip
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from template.sources import Format, find_format


@pytest.mark.parametrize(
    ("path", "format_"),
    [
        ("gs://b/t10k-images-idx3-ubyte.gz", Format.IDX),
        ("gs://b/t10k-labels-idx1-ubyte", Format.IDX),
        ("a/t10k-images.idx3-ubyte", Format.IDX),
        ("a/B.PNG", Format.IMAGES),
        ("a/b.jpeg", Format.IMAGES),
        ("a/b.csv.gz", Format.CSV),
        ("a/b.jsonl", Format.JSONL),
        ("a/b.parquet", Format.PARQUET),
        ("a/b.parquet.gz", Format.PARQUET),
        ("a/b.webp", Format.IMAGES),
        ("a/b.bmp", Format.IMAGES),
        ("a/b.gif", Format.IMAGES),
        ("a/b.tif", Format.IMAGES),
        ("a/b.tiff", Format.IMAGES),
        ("a/b.png.gz", Format.IMAGES),
        ("a/b.txt", None),
        ("a/csv", None),
    ],
)
def test_the_name_decides_the_format(path, format_):
    assert find_format(path) is format_


def test_formats_mix_and_unknown_names_are_dead_letters(predict, write_idx, images, tmp_path):
    write_idx(images(3), "in-idx3-ubyte")
    (tmp_path / "in.txt").write_text("text")
    outcome = predict(tmp_path / "in*")
    assert len(outcome.predictions) == 3
    (letter,) = outcome.dead_letters
    assert letter["source"] == str(tmp_path / "in.txt")
    assert "its name has no known format: pass --input_format" in letter["error"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "idx3-ubyte"])
def test_files_of_one_name_in_several_folders_have_keys_of_their_own(
    predict, write_idx, images, tmp_path, suffix
):
    for day in ("1", "2"):
        folder = tmp_path / "data" / f"day={day}"
        folder.mkdir(parents=True)
        if suffix == "idx3-ubyte":
            write_idx(images(1)).rename(folder / "part.idx3-ubyte")
        else:
            frame = pd.DataFrame({"a": [1]})
            write = {"csv": frame.to_csv, "parquet": frame.to_parquet}.get(suffix, frame.to_json)
            lines = {"orient": "records", "lines": True} if suffix == "jsonl" else {}
            write(folder / f"part.{suffix}", **lines)
    outcome = predict(tmp_path / "data" / "*" / "part.*")
    keys = {row["key"] for row in [*outcome.predictions, *outcome.dead_letters]}
    assert keys == {f"day={day}/part.{suffix}#0" for day in ("1", "2")}


def test_a_named_format_overrides_the_name(predict, write_idx, images):
    outcome = predict(write_idx(images(3), "images.bin"), input_format="idx")
    assert set(outcome.by_key()) == {"images.bin#0", "images.bin#1", "images.bin#2"}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "idx3-ubyte", "png"])
def test_gzip_is_recognized_by_its_content(predict, write_idx, images, expected, tmp_path, suffix):
    (image,) = images(1)
    pixels = pd.DataFrame([image.ravel()], columns=[f"pixel{n}" for n in range(1, 785)])
    content = {
        "csv": lambda: pixels.to_csv(index=False).encode(),
        "jsonl": lambda: pixels.to_json(orient="records", lines=True).encode(),
        "idx3-ubyte": lambda: write_idx(image[np.newaxis], "other").read_bytes(),
        "png": lambda: encode_png(image),
    }[suffix]()
    (tmp_path / f"part.{suffix}").write_bytes(gzip.compress(content))
    outcome = predict(tmp_path / f"part.{suffix}")
    assert outcome.dead_letters == []
    (row,) = outcome.predictions
    assert row["class_index"] == expected(image[np.newaxis])[0][0]


def encode_png(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def test_what_lies_beside_the_input_is_not_input(predict, write_idx, images, tmp_path):
    write_idx(images(2), "part-idx3-ubyte")
    for name in ("_SUCCESS", "_metadata", ".part-idx3-ubyte.crc", "_temporary/0/part-idx3-ubyte"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"no input")
    outcome = predict(tmp_path / "**")
    assert (len(outcome.predictions), outcome.dead_letters) == (2, [])
