"""Before a push, all code must compile and be importable."""

from __future__ import annotations

import contextlib

import pytest

from launcher.errors import ImageError
from launcher.image.build import build_image
from tests.docker import standins

pytestmark = [pytest.mark.buildah, pytest.mark.slow]


@contextlib.contextmanager
def added(project, name, text):
    """Put a file into template/, and remove it again."""
    path = project.root / "template" / name
    path.write_text(text)
    try:
        yield
    finally:
        path.unlink()


def test_code_that_does_not_compile_fails_the_build(project, image):
    with (
        added(project, "models/broken.py", "def predict(:\n"),
        pytest.raises(ImageError, match="'buildah build' failed") as failure,
    ):
        project.build("broken")
    assert "flexpack/template/models/broken.py" in str(failure.value)
    assert "SyntaxError: invalid syntax" in str(failure.value)


def test_code_that_cannot_be_imported_is_found_before_the_push(project, image):
    with added(project, "models/broken.py", "import no_such_package\n"):
        options = project.options("broken", name="localhost:1/flexpack")
        with pytest.raises(ImageError, match="is not pushed, because it would fail") as failure:
            build_image(options, root=project.root, engine=project.engine, push=True)
        assert "template/models/broken.py" in str(failure.value)
        assert "No module named 'no_such_package'" in str(failure.value)
        # There is no such registry: the push has been tried.
        with pytest.raises(ImageError, match="localhost:1/flexpack:broken: cannot be pushed"):
            build_image(options, root=project.root, engine=project.engine, push=True, test=False)
    standins.run("buildah", "rmi", "localhost:1/flexpack:broken")
