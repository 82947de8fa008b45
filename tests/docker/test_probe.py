"""What docker/probe.py finds out about code, packages and the user's model.

Here this environment stands in for an image; ``test_image`` runs the probe in a real one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.docker.project import DOUBLE
from tests.support import PROJECT_ROOT

# The part of the probe that a test needs, after its definitions.
CALL = """
import importlib.util, json, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("probe", sys.argv[1])
probe = importlib.util.module_from_spec(spec)
spec.loader.exec_module(probe)
print(json.dumps(eval(sys.argv[2])))
"""


@pytest.fixture
def ask(tmp_path):
    """Evaluate an expression with the probe's functions and ``own`` as the user's code."""
    (tmp_path / "own").mkdir()

    def run(expression):
        env = {
            **os.environ,
            "PYTHONPATH": f"{PROJECT_ROOT}:{tmp_path}",
            "FLEX_TEMPLATE_PYTHON_PY_FILE": str(PROJECT_ROOT / "template" / "main.py"),
            "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
        }
        probe = str(PROJECT_ROOT / "docker" / "probe.py")
        done = subprocess.run(
            [sys.executable, "-B", "-c", CALL, probe, expression],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_every_module_that_cannot_be_imported_is_named_with_its_line(ask, tmp_path):
    own = tmp_path / "own"
    (own / "__init__.py").touch()
    (own / "good.py").write_text("import json\n")
    (own / "missing.py").write_text("import json\nimport no_such_package\n")
    (own / "ends.py").write_text("import sys\nsys.exit(3)\n")
    (own / "syntax.py").write_text("def f(:\n")
    (own / "deep").mkdir()
    (own / "deep" / "__init__.py").write_text("1 / 0\n")
    failures = ask(f"probe.os.environ.update(PYTHONPATH={str(tmp_path)!r}) or probe.import_code()")
    errors = {failure["name"].removeprefix(f"{own}/"): failure["error"] for failure in failures}
    assert errors.keys() == {"deep/__init__.py", "ends.py", "missing.py", "syntax.py"}
    assert errors["missing.py"] == (
        f"{own}/missing.py, line 2: ModuleNotFoundError: No module named 'no_such_package'"
    )
    assert errors["ends.py"].endswith("SystemExit: 3")
    assert "invalid syntax" in errors["syntax.py"]
    assert "deep/__init__.py, line 1: ZeroDivisionError" in errors["deep/__init__.py"]


def test_all_of_the_template_can_be_imported(ask, tmp_path):
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "template").symlink_to(PROJECT_ROOT / "template")
    place = str(tmp_path / "image")
    assert ask(f"probe.os.environ.update(PYTHONPATH={place!r}) or probe.import_code()") == []


def test_packages_are_imported_by_the_name_of_their_distribution(ask, tmp_path):
    info = tmp_path / "torchvision-0.28.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n")
    (info / "top_level.txt").write_text("torchvision\n")
    (tmp_path / "torchvision.py").write_text("raise OSError('libcudart.so.13')\n")
    (failure,) = ask('probe.import_packages(["pillow", "apache-beam", "torchvision"])')
    assert failure["name"] == "torchvision"
    assert failure["error"].endswith("OSError: libcudart.so.13")


@pytest.mark.parametrize("has_torch", [True, False], ids=["torch", "no-torch"])
def test_both_roles_are_played(ask, tmp_path, has_torch):
    folder = f"Path({str(tmp_path)!r})"
    _, _, job_type, counts = ask(
        f"[setattr(probe, 'HAS_TORCH', {has_torch}), probe.write_inputs({folder}), "
        f"probe.play_launcher({folder}), probe.play_worker({folder})]"
    )
    assert job_type == "JOB_TYPE_BATCH"
    assert counts == {"rows": 16, "differing": 0}


@pytest.fixture
def try_model(ask, tmp_path):
    (tmp_path / "own" / "__init__.py").touch()
    (tmp_path / "own" / "double.py").write_text(DOUBLE)

    def run(*, model='{"factor": 2}', rows="x\n1\n2\n3\n", name="Double"):
        (tmp_path / "model.json").write_text(model)
        if rows is not None:
            (tmp_path / "rows.csv").write_text(rows)
        trial = {
            "model_class": f"own.double:{name}",
            "model_path": str(tmp_path / "model.json"),
            "input": None if rows is None else str(tmp_path / "rows.csv"),
            "parameters": {},
        }
        return ask(f"probe.attempt(lambda: probe.try_model(Path({str(tmp_path)!r}), {trial!r}))")

    return run


def test_a_model_predicts_a_sample(try_model):
    assert try_model() == {
        "result": {"loaded": True, "rows": 3, "failed": 0, "first_error": None},
        "error": None,
    }


def test_a_model_that_is_only_loaded(try_model):
    assert try_model(rows=None)["result"] == {
        "loaded": True,
        "rows": 0,
        "failed": 0,
        "first_error": None,
    }


@pytest.mark.parametrize("rows", ["x\n1\n2\n3\n", None])
def test_a_model_file_without_a_class(ask, tmp_path, rows):
    import torch

    class Half(torch.nn.Module):
        def forward(self, x):
            return x / 2

    torch.jit.script(Half()).save(tmp_path / "half.pt")
    trial = {
        "model_class": None,
        "model_path": str(tmp_path / "half.pt"),
        "input": None,
        "parameters": {"feature_columns": "x"},
    }
    if rows:
        (tmp_path / "rows.csv").write_text(rows)
        trial["input"] = str(tmp_path / "rows.csv")
    (tmp_path / "out").mkdir()
    out = f"Path({str(tmp_path / 'out')!r})"
    found = ask(f"probe.attempt(lambda: probe.try_model({out}, {trial!r}))")
    assert found["error"] is None
    assert found["result"]["rows"] == (3 if rows else 0)
    assert found["result"]["loaded"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "Doubel", "rows": None}, "has no 'Doubel'"),
        ({"model": "[]", "rows": None}, "TypeError: list indices must be"),
        ({"rows": "y\n1\n"}, "'x'"),
        ({"rows": ""}, "the sample has no rows"),
    ],
)
def test_a_model_that_does_not_work(try_model, given, words):
    found = try_model(**given)
    problem = found["error"] or found["result"]["first_error"]
    assert words in problem
