"""Untrusted archives."""

import io
import tarfile
import zipfile

import pytest

from template import archives
from template.files import download_to_localfs


def write_tar(path, *members):
    with tarfile.open(path, "w:gz") as tar:
        for name, kind in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.linkname = "/etc/passwd"
            info.size = 1 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"x"))


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("../x", tarfile.REGTYPE, "outside of its folder"),
        ("/x", tarfile.REGTYPE, "outside of its folder"),
        ("a/../../x", tarfile.REGTYPE, "outside of its folder"),
        ("x", tarfile.SYMTYPE, "is a link or a device"),
        ("x", tarfile.LNKTYPE, "is a link or a device"),
        ("x", tarfile.FIFOTYPE, "is a link or a device"),
    ],
    ids=["parent", "absolute", "hidden-parent", "symlink", "hard-link", "pipe"],
)
def test_a_tar_that_leads_out_is_refused(tmp_path, name, kind, reason):
    path = tmp_path / "m.tar.gz"
    write_tar(path, ("good", tarfile.REGTYPE), (name, kind))
    with pytest.raises(ValueError, match=reason), download_to_localfs(str(path)):
        pass


def test_a_zip_that_leads_out_is_refused(tmp_path):
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../x", "x")
    with pytest.raises(ValueError, match="outside of its folder"), download_to_localfs(str(path)):
        pass
    assert not (tmp_path.parent / "x").exists()


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_FREE_BYTES", 1000)
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(1 << 20))
    with (
        pytest.raises(ValueError, match="unpacks to far more than its size"),
        download_to_localfs(str(path)),
    ):
        pass


def test_the_only_folder_is_given_and_goes_away(tmp_path):
    path = tmp_path / "m.tar.gz"
    write_tar(path, ("model/a/b", tarfile.REGTYPE), ("model/c", tarfile.REGTYPE))
    with download_to_localfs(str(path)) as local:
        names = sorted(each.name for each in archives.Path(local).rglob("*"))
        assert names == ["a", "b", "c"]
    assert not archives.Path(local).exists()


def test_zips_of_other_names_stay_whole(tmp_path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", "x")
    with download_to_localfs(str(path)) as local:
        assert archives.Path(local).read_bytes() == path.read_bytes()
