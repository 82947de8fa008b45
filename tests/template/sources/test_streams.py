"""Local files: any name that the operating system has, and its own errors."""

import gzip

import pytest

from template.sources.streams import UnreadableError, open_stored, open_stream


@pytest.mark.parametrize("name", ["a b", "gs:c", "d\ne", "f*[g]", "\udcff", "h:/i"])
def test_a_file_may_have_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(b"content"))
    for path in (f"{tmp_path}/{name}", f"./{name}", name):
        with open_stream(path) as stream:
            assert stream.read() == b"content"
        with open_stored(path, start=2) as stream:
            assert stream.tell() == 2


def test_a_folder_may_look_like_a_scheme(tmp_path):
    (tmp_path / "a:").mkdir()
    (tmp_path / "a:" / "b").write_bytes(b"content")
    with open_stored(f"{tmp_path}/a://b") as stream:
        assert stream.read() == b"content"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("none", "No such file or directory: 'none'"),
        ("", "No such file or directory: ''"),
        ("file/", "Not a directory: 'file/'"),
        ("folder", "Is a directory: 'folder'"),
        ("file://file", "Unable to get filesystem from specified path"),
    ],
)
def test_what_cannot_be_opened_is_said(tmp_path, monkeypatch, path, error):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(UnreadableError, match=r"^cannot be opened: ") as caught, open_stored(path):
        pass
    assert error in str(caught.value)
