"""Checks of model files that need no class."""

import json

import pytest

from launcher.preflight.probes.checkpoint import main

torch = pytest.importorskip("torch")


@pytest.fixture
def save(tmp_path):
    """Save a model of a kind."""

    def write(kind):
        path = tmp_path / "model"
        layer = torch.nn.Linear(2, 1)
        if kind == "torchscript":
            torch.jit.script(layer).save(path)
        elif kind == "exported":
            program = torch.export.export(layer, (torch.zeros(2, 2),))
            torch.export.save(program, tmp_path / "m.pt2")
            (tmp_path / "m.pt2").rename(path)
        elif kind == "joblib":
            linear = pytest.importorskip("sklearn.linear_model")
            import joblib

            joblib.dump(linear.LinearRegression().fit([[0, 1], [2, 3]], [0, 1]), path)
        elif kind == "folder":
            path.mkdir()
            torch.jit.script(layer).save(path / "m.pt")
        return path

    return write


def check(path, model_class=None, **parameters):
    """Return the problem that the probe finds, and its detail."""
    report = main(str(path), model_class, parameters)
    assert report["file_bytes"] > 0
    return report.get("problem"), report.get("detail", "")


@pytest.mark.parametrize("kind", ["torchscript", "exported", "joblib", "folder"])
def test_a_file_without_a_class(save, kind):
    path = save(kind)
    assert check(path) == (None, "")
    opts = {"feature_columns": "a,b", "trusted": True}
    assert check(path, "", model_opts=json.dumps(opts)) == (None, "")
    problem, detail = check(path, "", model_opts='{"trusted": true}')
    assert problem == "misfit"
    assert "feature_columns" in detail


def test_a_damaged_file(save):
    path = save("torchscript")
    path.write_bytes(path.read_bytes()[:700])
    assert check(path)[0] == "unreadable"


def test_a_file_of_no_known_kind_needs_a_class(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + bytes(60))
    assert check(path) == (None, "")
    problem, detail = check(path, "")
    assert problem == "misfit"
    assert "Name the class that loads" in detail
