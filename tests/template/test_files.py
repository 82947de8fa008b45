"""Local copies of files."""

import gzip
from pathlib import Path

import pytest

from template.files import download_file_to_localfs


def test_the_copy_keeps_name_and_bytes_and_goes_away(tmp_path):
    data = gzip.compress(b"weights")
    original = tmp_path / "weights.pth.gz"
    original.write_bytes(data)
    with download_file_to_localfs(str(original)) as path:
        copy = Path(path)
        assert copy != original
        assert copy.name == "weights.pth.gz"
        assert copy.read_bytes() == data
    assert not copy.exists()
    assert original.exists()


def test_the_copy_goes_away_when_loading_fails(tmp_path):
    (tmp_path / "w").write_bytes(b"x")

    def load():
        with download_file_to_localfs(str(tmp_path / "w")) as path:
            raise RuntimeError(path)

    with pytest.raises(RuntimeError) as info:
        load()
    assert not Path(str(info.value)).exists()


def test_a_missing_file_is_named(tmp_path):
    missing = str(tmp_path / "none.pth")
    with (
        pytest.raises(FileNotFoundError, match=r"none\.pth: no such file"),
        download_file_to_localfs(missing),
    ):
        pass
