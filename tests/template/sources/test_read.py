"""Finding files and telling their format."""

import apache_beam as beam
import pandas as pd
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from template.parameters import ParameterError
from template.sources import Format, ReadBlocks, check_input, find_files, find_format


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
        ("a/b.txt", None),
        ("a/csv", None),
    ],
)
def test_the_name_tells_the_format(path, format_):
    assert find_format(path) is format_


def test_files_are_found_by_pattern(tmp_path):
    for name in ("b.csv", "a.csv", "c.txt"):
        (tmp_path / name).write_text("x")
    assert [file.path for file in find_files(f"{tmp_path}/*.csv")] == [
        f"{tmp_path}/a.csv",
        f"{tmp_path}/b.csv",
    ]


def test_a_pattern_that_matches_nothing_is_named(tmp_path):
    with pytest.raises(ParameterError, match=r"--input '.*/none-\*': no file matches"):
        find_files(f"{tmp_path}/none-*")
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    _ = pipeline | ReadBlocks(f"{tmp_path}/none-*", batch_size=10)
    with pytest.raises(Exception, match="no file matches this pattern"):
        pipeline.run()


def test_names_that_tell_no_format_stop_the_launch(tmp_path):
    (tmp_path / "data.txt").write_text("x")
    with pytest.raises(ParameterError, match=r"data\.txt' tells no format; pass --input_format"):
        check_input(f"{tmp_path}/*", "auto")
    check_input(f"{tmp_path}/*", "csv")
    (tmp_path / "data.csv").write_text("x")
    check_input(f"{tmp_path}/*", "auto")


def test_formats_mix_and_unknown_names_are_dead_letters(predict, write_idx, images, tmp_path):
    write_idx(images(3), "in-idx3-ubyte")
    (tmp_path / "in.txt").write_text("text")
    outcome = predict(tmp_path / "in*")
    assert len(outcome.predictions) == 3
    (letter,) = outcome.dead_letters
    assert letter["source"] == str(tmp_path / "in.txt")
    assert "its name tells no format: pass --input_format" in letter["error"]


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
