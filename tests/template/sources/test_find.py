"""Which files a pattern means."""

import logging

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from template.parameters import ParameterError
from template.sources import ReadBlocks, check_input, find_files
from template.sources.find import find_folder


@pytest.fixture
def write(tmp_path):
    def write(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("x")

    return write


@pytest.fixture
def found(tmp_path):
    def find(pattern):
        prefix = f"{tmp_path}/"
        return [file.path.removeprefix(prefix) for file in find_files(prefix + pattern)]

    return find


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


def test_names_without_a_known_format_stop_the_launch(tmp_path):
    (tmp_path / "data.txt").write_text("x")
    with pytest.raises(
        ParameterError, match=r"data\.txt' has no known format; pass --input_format"
    ):
        check_input(f"{tmp_path}/*", "auto")
    check_input(f"{tmp_path}/*", "csv")
    (tmp_path / "data.csv").write_text("x")
    check_input(f"{tmp_path}/*", "auto")


def test_hidden_files_are_not_input(write, found, caplog):
    hidden = ["_SUCCESS", "_metadata", ".a.csv.crc", "_tmp/a.csv", "day=1/.ipynb/a.csv", "_b.csv"]
    write("a.csv", "day=1/a.csv", *hidden, "_$folder$", "day=1_$folder$")
    with caplog.at_level(logging.INFO):
        assert found("**") == ["a.csv", "day=1/a.csv"]
    assert "not input" in caplog.text
    assert "and 1 more" in caplog.text
    assert found("*.csv") == ["a.csv"]


def test_a_pattern_that_names_hidden_files_means_them(write, found):
    write("a.csv", "_b.csv", ".c.csv", "_tmp/d.csv", "_tmp/_e.csv")
    assert found("_*.csv") == ["_b.csv"]
    assert found("_b.csv") == ["_b.csv"]
    assert found(".*") == [".c.csv"]
    assert found("_tmp/*.csv") == ["_tmp/d.csv"]
    assert found("_t*/*.csv") == ["_tmp/_e.csv", "_tmp/d.csv"]


def test_nothing_but_hidden_files_is_an_error(write, found):
    write("_SUCCESS", ".crc")
    with pytest.raises(ParameterError, match=r"begin with '\.' or '_' match, .*_SUCCESS"):
        found("*")


def test_brackets_that_match_nothing_are_explained(write, found):
    write("data[1].csv", "data1.csv")
    assert found("data[1].csv") == ["data1.csv"]
    assert found("data[[]1].csv") == ["data[1].csv"]
    write("x[1]/a.csv")
    with pytest.raises(ParameterError, match=r"write '\[\[\]' for '\[': '.*/x\[\[\]1\]/a\.csv'"):
        found("x[1]/a.csv")


def test_a_folder_is_not_a_file(write, found):
    write("day/a.csv")
    with pytest.raises(ParameterError, match=r"is a folder: write '.*/day/\*'"):
        found("day")


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [
        ("gs://b/data/day=*/a.csv", "gs://b/data/"),
        ("gs://b/data/a[0-9].csv", "gs://b/data/"),
        ("gs://b/data/a.csv", "gs://b/data/"),
        ("*.csv", ""),
    ],
)
def test_the_folder_that_a_pattern_begins_with(pattern, folder):
    assert find_folder(pattern) == folder
