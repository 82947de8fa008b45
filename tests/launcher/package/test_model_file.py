"""A model file becomes part of a project, or the error says what it lacks."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
import torch

from launcher.errors import InputError
from launcher.package.model_file import ModelFile, read_model_file


def make_file(path: Path) -> ModelFile:
    return ModelFile(path=path, model_class="m:C", kind="", options={}, packages=(), columns={})


@pytest.mark.parametrize(
    ("name", "copied"),
    [
        ("churn v2.ONNX", "model.ONNX"),
        ("v1.2.pt", "model.pt"),
        ("churn.tar.gz", "model.tar.gz"),
        ("churn", "model"),
        ("churn.a$b", "model"),
    ],
)
def test_the_copy_has_a_name_that_a_makefile_takes(name: str, copied: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    copy = make_file(tmp_path / name).copy(tmp_path / "data")
    assert (copy, copy.read_bytes()) == (tmp_path / "data" / copied, b"x")


def test_a_folder_becomes_an_archive_without_links(tmp_path: Path) -> None:
    folder = tmp_path / "sentiment"
    (folder / "1_Pooling").mkdir(parents=True)
    (tmp_path / "blob").write_bytes(b"weights")
    (folder / "model.safetensors").symlink_to(tmp_path / "blob")
    (folder / "1_Pooling" / "config.json").write_text("{}")
    copy = make_file(folder).copy(tmp_path / "data")
    with tarfile.open(copy) as archive:
        files = {each.name: each.isreg() for each in archive if not each.isdir()}
    assert (copy.name, files) == (
        "model.tar",
        {"sentiment/model.safetensors": True, "sentiment/1_Pooling/config.json": True},
    )


def test_what_a_file_lacks_is_said_with_the_flags_of_init(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--checkpoint none\.pt: no such file or folder here"):
        read_model_file(Path("none.pt"), {})
    torch.jit.script(torch.nn.Linear(2, 1)).save(tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"m\.pt: the file names no .* Here: --parameters OPTION"):
        read_model_file(tmp_path / "m.pt", {})
    torch.save(torch.nn.Linear(2, 1).state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth: holds weights .* --kind, without --checkpoint"):
        read_model_file(tmp_path / "w.pth", {})
