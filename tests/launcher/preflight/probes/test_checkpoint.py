"""Checks of model files that need no class."""

import json
import sys
from dataclasses import replace

import pytest

from launcher.cli import main as run_command
from launcher.preflight.probes.checkpoint import main
from tests.template.models.kind_files import FRAMEWORKS, SUFFIXES, save


def check(path, model_class=None, *, size=None, **parameters):
    """Return the problem that the probe finds, and its detail."""
    report = main(str(path), model_class, parameters)
    assert report["file_bytes"] == size if size is not None else report["file_bytes"] > 0
    return report.get("problem"), report.get("detail", "")


@pytest.fixture(params=SUFFIXES)
def saved(request, tmp_path):
    if framework := FRAMEWORKS.get(request.param):
        pytest.importorskip(framework)
    return save(request.param, tmp_path)


def launch(saved):
    return {"model_class": "", "model_opts": json.dumps(saved.opts)}


def test_a_good_file_whatever_it_is_called_and_in_a_folder(saved, tmp_path):
    assert check(saved.path) == (None, "")
    assert check(saved.path, **launch(saved)) == (None, "")
    for name in ("model", "model.pth", "model.onnx", "model.json", "model.h5"):
        other = saved.path.rename(tmp_path / name)
        assert check(other, **launch(saved)) == (None, ""), name
        saved = replace(saved, path=other)
    folder = tmp_path / "folder"
    folder.mkdir()
    saved.path.rename(folder / saved.path.name)
    (folder / "README.md").write_text("notes")
    assert check(folder) == (None, "")
    assert check(folder, **launch(saved)) == (None, "")


def test_what_a_launch_has_to_say(saved):
    wrong = saved.opts | {"feature_columns": "a,b"}
    problem, detail = check(saved.path, "", model_opts=json.dumps(wrong))
    is_unknown = saved.path.suffix == ".pt"  # a TorchScript file does not say its columns
    assert problem == (None if is_unknown else "unusable")
    assert is_unknown or "feature_columns" in detail
    if "trusted" in saved.opts:
        problem, detail = check(saved.path, "", model_opts='{"feature_columns": "a,b,c"}')
        assert problem == "unusable"
        assert "set the model's option trusted to true" in detail


def test_a_file_without_its_end(saved):
    content = saved.path.read_bytes()
    for kept in (1, 10, 100, len(content) // 2, len(content) - 20):
        saved.path.write_bytes(content[:kept])
        problem, detail = check(saved.path, **launch(saved))
        assert problem in ("unreadable", "unusable"), kept
        assert "\n" not in detail
        assert "Traceback" not in detail


def test_a_file_of_another_content(saved):
    saved.path.write_bytes(b"<html>404 not found</html>")
    problem, detail = check(saved.path, **launch(saved))
    assert problem in ("unreadable", "unusable")
    assert "begins with" in detail
    saved.path.write_bytes(b"")
    assert check(saved.path, size=0, **launch(saved)) == ("unreadable", "it is empty")


def test_an_empty_folder(tmp_path):
    problem, detail = check(tmp_path, "", size=0)
    assert problem == "unusable"
    assert "an empty folder" in detail


@pytest.mark.parametrize("kind", FRAMEWORKS)
def test_a_missing_framework(kind, tmp_path, monkeypatch):
    framework = FRAMEWORKS[kind]
    pytest.importorskip(framework)
    saved = save(kind, tmp_path)
    monkeypatch.setitem(sys.modules, framework, None)
    for model_class in (None, ""):
        problem, detail = check(saved.path, model_class, model_opts=json.dumps(saved.opts))
        assert problem == "unusable"
        assert "install flexpack[" in detail


def test_the_command_names_file_and_next_step(tmp_path, capsys):
    saved = save("torchscript", tmp_path)
    flags = ["check", "--checkpoint", str(saved.path), "--project-root", str(tmp_path)]
    saved.path.write_bytes(saved.path.read_bytes()[:-100])
    assert run_command(flags) == 1
    out, err = capsys.readouterr()
    assert f"checkpoint-unreadable: {saved.path}: cannot be loaded" in out
    assert "Save it again" in out
    assert "Traceback" not in out + err


def test_a_file_of_no_known_kind_needs_a_class(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + bytes(60))
    assert check(path) == (None, "")
    problem, detail = check(path, "")
    assert problem == "unusable"
    assert "Name the class that loads" in detail
