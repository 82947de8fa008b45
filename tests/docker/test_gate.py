"""What is proven before a push: code that imports, and the user's model on a sample of rows."""

from __future__ import annotations

import contextlib
import os

import pytest

from launcher.errors import ImageError
from launcher.image.build import build_image
from launcher.image.engines.buildah import Buildah
from launcher.image.testing import check_image
from launcher.image.trial import ModelTrial
from tests.docker import standins
from tests.support import BIN, run

pytestmark = [pytest.mark.buildah, pytest.mark.slow]

DOUBLE = """
import json
from pathlib import Path

from template.model import BaseModel


class Double(BaseModel):
    def load_model(self, path):
        return json.loads(Path(path).read_text())["factor"]

    def predict(self, df):
        return df["x"].astype(float) * self.ensure_model()
"""


@contextlib.contextmanager
def added(project, name, text):
    """Put a file into template/, and take it away again."""
    path = project.root / "template" / name
    path.write_text(text)
    try:
        yield
    finally:
        path.unlink()


@pytest.fixture(scope="module")
def image_with_model(project, image):
    with added(project, "models/double.py", DOUBLE):
        return project.build("with-model")


@pytest.fixture
def files(tmp_path):
    """A model's file and a sample."""
    (tmp_path / "model.json").write_text('{"factor": 2}')
    (tmp_path / "rows.csv").write_text("x\n1\n2\n3\n")
    return tmp_path


def test_code_that_does_not_compile_fails_the_build(project, image, capfd):
    with (
        added(project, "models/broken.py", "def predict(:\n"),
        pytest.raises(ImageError, match="'buildah build' failed"),
    ):
        project.build("broken")
    shown = capfd.readouterr()
    assert "flexpack/template/models/broken.py" in shown.out + shown.err
    assert "SyntaxError: invalid syntax" in shown.out + shown.err


def test_code_that_cannot_be_imported_is_found_and_never_pushed(project, image, registry):
    with added(project, "models/broken.py", "import no_such_package\n"):
        options = project.options("broken", name=f"{registry.host}/flexpack")
        with pytest.raises(ImageError, match="is not pushed, because it would fail") as failure:
            build_image(options, root=project.root, engine=project.engine, push=True)
        assert "template/models/broken.py cannot be imported" in str(failure.value)
        assert "No module named 'no_such_package'" in str(failure.value)
        assert not registry.has("flexpack", "broken")
        pushed = build_image(
            options, root=project.root, engine=project.engine, push=True, test=False
        )
    assert pushed.digest == registry.find_digest("flexpack", "broken")
    standins.run("buildah", "rmi", pushed.reference)


def test_the_users_model_predicts_a_sample_in_the_image(project, image_with_model, files):
    done = run(
        *(str(BIN / "flexpack"), "image", "test", "--engine=buildah", "--no-size"),
        *(f"--image={image_with_model}", "--model-class=template.models.double:Double"),
        *(f"--model-path={files}/model.json", f"--input={files}/rows.csv"),
        env=os.environ,
        cwd=project.root,
    )
    assert "template.models.double:Double predicted 3 of 3 rows." in done.stdout


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_class": "template.models.double:Doubel"}, "has no 'Doubel'"),
        ({"input": None, "model": "[]"}, "TypeError: list indices must be"),
        ({"rows": "y\n1\n"}, "KeyError: 'x'"),
    ],
)
def test_a_model_that_does_not_work_is_found(project, image_with_model, files, changes, words):
    if "model" in changes:
        (files / "model.json").write_text(changes["model"])
    if "rows" in changes:
        (files / "rows.csv").write_text(changes["rows"])
    trial = ModelTrial(
        model_class=changes.get("model_class", "template.models.double:Double"),
        model_path=str(files / "model.json"),
        input=changes.get("input", str(files / "rows.csv")),
    )
    report = check_image(project.root, image_with_model, Buildah(), trial=trial)
    (finding,) = report.findings
    assert finding.code == "image-model"
    assert words in finding.message
