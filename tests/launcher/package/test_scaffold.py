"""What ``flexpack init`` writes, and the names that it refuses."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from launcher.errors import InputError
from launcher.package.model_file import ModelFile
from launcher.package.scaffold import KINDS, Scaffold, build_files, check_name, write_project
from tests.support import BIN


def make_scaffold(kind: str = "table", name: str = "house_prices") -> Scaffold:
    return Scaffold(
        name=name, kind=kind, requirement="flexpack @ file:///kit", bin_folder=Path("/kit/bin")
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("template", "one of flexpack's own packages"),
        ("launcher", "one of flexpack's own packages"),
        ("flexpack", "has a special meaning"),
        ("tests", "has a special meaning"),
        ("data", "has a special meaning"),
        ("make_sample", "has a special meaning"),
        ("json", "Python's standard library"),
        ("torch", "an installed package"),
        ("google", "an installed package"),
        ("class", "a Python keyword"),
        ("match", "a Python keyword"),
        ("2churn", "did you mean 'churn'?"),
        ("My-Churn", "did you mean 'my_churn'?"),
        ("a__b", "did you mean 'a_b'?"),
        ("küche", "lower-case letters, digits"),
        ("", "lower-case letters, digits"),
        ("a" * 41, "longer than 40 characters"),
    ],
)
def test_a_name_that_a_package_may_not_have(name, reason):
    with pytest.raises(InputError, match=re.escape(f"NAME {name!r}: ")) as caught:
        check_name(name)
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", ["churn", "house_prices", "v2", "model", "files"])
def test_a_name_that_it_may_have(name):
    check_name(name)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("churn", "churn.model:ChurnModel"),
        ("house_prices", "house_prices.model:HousePricesModel"),
        ("churn_model", "churn_model.model:ChurnModel"),
        ("model", "model.model:ModelModel"),
    ],
)
def test_the_models_one_name(name, model):
    scaffold = make_scaffold(name=name)
    assert scaffold.model == model
    files = build_files(scaffold)
    assert f"class {model.partition(':')[2]}(BaseModel):" in files[f"{name}/model.py"]
    assert f"MODEL := {model}\n" in files["Makefile"]
    assert "os.environ['MODEL']" in files["tests/test_sample.py"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_of_a_kind(kind, tmp_path):
    written = write_project(make_scaffold(kind), tmp_path / "house_prices")
    assert sorted(str(path.relative_to(tmp_path / "house_prices")) for path in written) == [
        *(".gitignore", "Makefile", "README.md", "house_prices/__init__.py"),
        *("house_prices/model.py", "make_sample.py", "requirements.in", "requirements.txt"),
        *("system-packages.txt", "tests/test_sample.py"),
    ]
    for path in written:
        assert not re.search(r"project_name|project-name|ProjectName|@[A-Z]+@", path.read_text())
    makefile = (tmp_path / "house_prices/Makefile").read_text()
    assert "FLEXPACK := flexpack @ file:///kit\n" in makefile
    assert len((tmp_path / "house_prices/README.md").read_text().splitlines()) <= 40
    check_style(tmp_path)


def test_a_missing_text_is_named():
    pd = pytest.importorskip("pandas")
    code: dict[str, Any] = {}
    exec(build_files(make_scaffold("text"))["house_prices/model.py"], code)
    model = code["HousePricesModel"]("unread.pth")
    with pytest.raises(ValueError, match="the text is missing"):
        model.predict(pd.DataFrame({"text": ["good", None]}))


def check_style(folder: Path) -> None:
    style = [BIN / "ruff", "check", "--isolated", "--select=E,F,W,B,UP,SIM", "--line-length=100"]
    subprocess.run([*style, folder], check=True, timeout=60)
    subprocess.run(
        [BIN / "ruff", "format", "--isolated", "--line-length=100", "--check", folder],
        check=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("type_", ["number", "image"])
def test_the_files_of_a_model_file(type_, tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"model")
    file = ModelFile(
        path=tmp_path / "m.onnx",
        model_class="template.models.onnx:OnnxModel",
        kind="an ONNX model",
        options={"feature_columns": 'a,"b, c"', "softmax": True},
        packages=("onnxruntime",),
        columns={"image" if type_ == "image" else 'b "x"': type_},
    )
    scaffold = dataclasses.replace(make_scaffold("file"), file=file)
    project = tmp_path / "house_prices"
    written = write_project(scaffold, project)
    assert (project / "data" / "model.onnx").read_bytes() == b"model"
    model = (project / "house_prices" / "model.py").read_text()
    assert "class HousePricesModel(OnnxModel):\n" in model
    assert "    feature_columns = 'a,\"b, c\"'\n    softmax = True\n" in model
    assert (project / "requirements.in").read_text().endswith("\nonnxruntime\n")
    makefile = (project / "Makefile").read_text()
    sample = "data/sample/*" if type_ == "image" else "data/sample.csv"
    assert f"WEIGHTS ?= data/model.onnx\nINPUT ?= {sample}\nPARAMETERS ?= \n" in makefile
    for path in written[:-1]:
        assert not re.search(r"project_name|project-name|ProjectName|@[A-Z]+@", path.read_text())
    check_style(project)


@pytest.mark.parametrize("there", ["file", "folder"])
def test_nothing_is_overwritten(there, tmp_path):
    folder = tmp_path / "churn"
    if there == "file":
        folder.write_text("mine")
    else:
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="already exists, and nothing is overwritten"):
        write_project(make_scaffold(), folder)
    mine = folder if there == "file" else folder / "notes.txt"
    assert mine.read_text() == "mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "churn").mkdir()
    assert write_project(make_scaffold(name="churn"), tmp_path / "churn")


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written: Not a directory"):
        write_project(make_scaffold(), tmp_path / "file" / "churn")
