"""Before a push, all code must compile and be importable; ``flexpack template`` pushes too."""

from __future__ import annotations

import contextlib

import pytest

from launcher.errors import ImageError
from launcher.image.build import build_image
from tests.docker import standins
from tests.support import open_storage, run

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
        # There is no such registry, which shows that the push was attempted.
        with pytest.raises(ImageError, match="localhost:1/flexpack:broken: cannot be pushed"):
            build_image(options, root=project.root, engine=project.engine, push=True, test=False)
    standins.run("buildah", "rmi", "localhost:1/flexpack:broken")


def test_a_template_is_not_made_of_an_image_that_would_fail(project, image, emulator, emulator_env):
    bucket = open_storage(emulator).create_bucket("flexpack-gate")
    dataflow = "CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW"  # the local Dataflow needs no image
    env = {name: value for name, value in emulator_env.items() if name != dataflow}
    flags = [f"--build-arg={name}={value}" for name, value in project.build_args.items()]
    flags += [f"--volume={folder}" for folder in project.volumes]
    with added(project, "models/broken.py", "import no_such_package\n"):
        done = run(
            *("flexpack", "template", "--bucket=flexpack-gate", "--project=my-project", *flags),
            *("--region=europe-west1", "--engine=buildah", "--flavour=cpu", "--tag=broken"),
            *(f"--pip-conf={project.pip_conf}", f"--ca-bundle={standins.find_ca_bundle()}"),
            env=env,
            cwd=project.root,
            status=1,
            timeout_sec=600,
        )
    built = "europe-west1-docker.pkg.dev/my-project/flexpack/flexpack:broken"
    assert f"{built}: is not pushed, because it would fail" in done.stderr
    assert "No module named 'no_such_package'" in done.stderr
    assert list(bucket.list_blobs()) == []
    standins.run("buildah", "rmi", built)
