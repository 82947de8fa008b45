"""Folders and archives: which model they hold, and what a launch says about several."""

import shutil

import pytest

from template.file_versions import find_version
from template.models.kinds import ONNX, find_kind, find_main_file
from template.parameters import ParameterError

MODEL = b"\x08\x09\x12\x07pytorch"  # how an ONNX file begins


@pytest.fixture
def folder(tmp_path):
    """Make a folder of files."""

    def make(*names):
        for name in names:
            path = tmp_path / "models" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(MODEL if name.endswith(".onnx") else b"notes")
        return tmp_path / "models"

    return make


@pytest.mark.parametrize("place", ["", "deep/below/"])
def test_a_folder_of_one_model(folder, place):
    path = folder("README.md", f"{place}a.onnx")
    assert find_kind(str(path)) == ONNX
    assert find_main_file(str(path)) == str(path / place / "a.onnx")


def test_a_model_goes_before_those_below_it(folder):
    assert find_main_file(str(folder("a.onnx", "old/a.onnx"))).endswith("models/a.onnx")


def test_a_wide_folder_of_several_models_names_all(folder):
    models = [f"m{number}.onnx" for number in range(70)]
    path = folder(*models, *(f"n{number}.md" for number in range(150)))
    with pytest.raises(ParameterError) as error:
        find_kind(str(path))
    assert f"is a folder of 70 models: {', '.join(sorted(models))}." in str(error.value)
    assert f"Name one of them: --model_path={path}/m0.onnx" in str(error.value)


@pytest.mark.parametrize("ending", ["zip", "gztar"])
def test_an_archive_of_several_models_names_all(folder, tmp_path, ending):
    path = shutil.make_archive(str(tmp_path / "packed"), ending, folder("x/a.onnx", "y/b.onnx"))
    with pytest.raises(ParameterError, match=r"archive of 2 models: x/a.onnx, y/b.onnx. Unpack it"):
        find_kind(path)


def test_a_folder_without_a_model_says_what_it_holds(folder):
    with pytest.raises(ParameterError, match=r"is a folder that holds a.md, b.md; a model"):
        find_kind(str(folder("a.md", "b.md")))


def test_a_file_of_safetensors_says_that_its_folder_is_the_model(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b'\x02\0\0\0\0\0\0\0{"a":{}}')
    with pytest.raises(ParameterError, match="name the folder that holds it"):
        find_kind(str(tmp_path / "model.safetensors"))


def test_the_version_of_a_folder_is_that_of_its_files(folder):
    path = folder("a.onnx", "b.md")
    first = find_version(str(path))
    assert first.size == len(MODEL) + len(b"notes")
    (path / "b.md").write_bytes(b"other")
    second = find_version(str(path))
    assert second.size == first.size
    assert second.sha256 != first.sha256
