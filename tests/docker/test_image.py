"""The image, really built and really entered."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion

from launcher.errors import ImageError
from launcher.image.build import build_image
from launcher.image.engines.buildah import Buildah
from tests.docker import standins
from tests.support import BIN, run

pytestmark = [pytest.mark.buildah, pytest.mark.slow]


def test_both_roles_and_the_users_model_work(project, image, tmp_path):
    from cyclonedx.validation.json import JsonStrictValidator  # takes seconds, on each worker

    (tmp_path / "model.json").write_text('{"factor": 2}')
    (tmp_path / "rows.csv").write_text("x\n1\n2\n3\n")
    done = run(
        *(str(BIN / "flexpack"), "image", "test", "--engine=buildah", "--no-size"),
        f"--image={image}",
        *("--model-class=template.models.double:Double", f"--model-path={tmp_path}/model.json"),
        f"--input={tmp_path}/rows.csv",
        env=os.environ,
        cwd=project.root,
    )
    assert f"Testing {image} with buildah" in done.stdout
    assert ", Beam 2.77.0, torch 2.13.0+cpu, CUDA none" in done.stdout
    assert "16 predictions through Beam equal torch's" in done.stdout
    assert "template.models.double:Double predicted 3 of 3 rows." in done.stdout
    text = (project.root / "build" / "image" / "one.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
    components = {component["name"]: component for component in json.loads(text)["components"]}
    assert {"apache-beam", "torch", "python", "boot", "python_template_launcher"} <= set(components)
    assert components["debian"]["type"] == "operating-system"
    assert components["libc6"]["purl"].endswith("?arch=amd64&distro=debian-12&upstream=glibc")


@contextlib.contextmanager
def mounted(image: str) -> Iterator[Path]:
    """Open an image's files to be read."""
    container = standins.run("buildah", "from", "--pull-never", image)
    try:
        yield Path(standins.run("buildah", "mount", container))
    finally:
        standins.run("buildah", "rm", container)


def test_the_same_code_under_another_tag_has_labels_of_its_own(project, image):
    before, after = (Buildah().read_config(name) for name in (image, project.build("renamed")))
    assert after.diff_ids == before.diff_ids
    assert before.labels["org.opencontainers.image.version"] == "one"
    assert after.labels["org.opencontainers.image.version"] == "renamed"
    assert after.labels["flexpack.beam"] == "2.77.0"
    assert after.labels["flexpack.torch"] == "2.13.0+cpu"
    assert after.labels["flexpack.cuda"] == "none"


def test_all_code_is_in_the_image_and_may_be_read_by_anybody(project, image):
    template = project.root / "template"
    own = [*template.rglob("*.py"), *template.rglob("py.typed")]
    sources = {path.relative_to(template): path for path in own}
    with mounted(image) as root:
        code = root / "opt" / "flexpack" / "template"
        copies = {path.relative_to(code): path for path in code.rglob("*") if path.is_file()}
        assert copies.keys() == {path for path in sources if path.parts[0] not in ("demo", "trial")}
        for name, copy in copies.items():
            assert copy.read_bytes() == sources[name].read_bytes(), name
            assert stat.S_IMODE(copy.stat().st_mode) == 0o644, name
            assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o755, name


def test_a_change_of_the_code_is_one_small_new_layer(project, image):
    changed = project.build_changed("two", "sources/csv.py")
    before, after = (Buildah().read_config(name).diff_ids for name in (image, changed))
    # The last is the code of projects, a few KB, which buildah makes again on top of a changed
    # layer.
    assert before[:-2] == after[:-2]
    assert before[-2] != after[-2]
    # The compressed sources without bytecode, so it grows only with the code.
    sources = sum(path.stat().st_size for path in (project.root / "template").rglob("*.py"))
    assert compressed_size(after[-2]) <= 0.4 * sources
    again = project.build("again")
    assert Buildah().read_config(again).diff_ids[:-1] == before[:-1]


def compressed_size(diff_id: str) -> int:
    """Return how many bytes a layer has in a registry, from buildah's store."""
    store = json.loads(standins.run("buildah", "info"))["store"]
    if store["GraphDriverName"] != "overlay":
        pytest.skip(f"buildah's store is of the kind {store['GraphDriverName']}, not overlay")
    root = Path(store["GraphRoot"])
    layers = json.loads((root / "overlay-layers" / "layers.json").read_text())
    layer = next(layer for layer in layers if layer.get("diff-digest") == diff_id)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(root / "overlay" / layer["id"] / "diff", arcname="")
    return len(gzip.compress(archive.getvalue()))


@pytest.mark.wide
def test_another_beam_fails_the_build(project, image, tmp_path, capsys):
    with pytest.raises(ImageError, match="'buildah build' failed") as failure:
        project.build("three", BEAM_IMAGE=standins.make_beam_image(tmp_path, "2.73.0"))
    assert "BEAM_IMAGE holds the boot program of Beam 2.73.0" in str(failure.value)
    # The steps are shown, but not their output.
    shown = capsys.readouterr().out
    assert "RUN python -B /opt/flexpack/build/check_versions.py" in shown
    assert "BEAM_IMAGE" not in shown.replace("BEAM_IMAGE=", "")


def test_a_base_that_cannot_hold_the_image_is_refused_at_once(project):
    managed = "localhost/flexpack-broken:base"
    container = standins.run("buildah", "from", "--pull-never", project.build_args["PYTHON_IMAGE"])
    try:
        root = Path(standins.run("buildah", "mount", container))
        (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").touch()
        standins.run("buildah", "commit", "--quiet", container, managed)
        with pytest.raises(ImageError, match="pip may not install into it: remove /usr/lib/py"):
            project.build("five", PYTHON_IMAGE=managed)
        standins.run("buildah", "rmi", managed)
    finally:
        standins.run("buildah", "rm", container)


def test_a_build_that_fails_says_what_it_may_have_lacked(project):
    without = replace(project, pip_conf=None, volumes=())
    with pytest.raises(ImageError, match="'buildah build' failed") as failure:
        without.build("four", PYTHON_IMAGE="localhost/no-such-image")
    assert "pip" not in str(failure.value)
    options = replace(without.options("four"), use_cache=False)
    with pytest.raises(ImageError, match=r"no torch 2\.13\.0\+cpu: .* give --pip-conf FILE"):
        build_image(options, root=project.root, engine=project.engine, report=print)


def test_secrets_and_caches_are_not_in_the_image(image):
    with mounted(image) as root:
        for path in ("etc/pip.conf", "etc/flexpack/ca.pem", "root/.cache/pip"):
            found = root / path
            assert not found.exists() or not any(found.iterdir()), path
        assert {path.name for path in (root / "opt" / "flexpack").iterdir()} == {
            *("boot", "build", "locks", "template"),
        }
        assert not any((root / path).exists() for path in ("code", "layers"))


COUNT_BYTECODE = """
import glob, importlib.util, os, struct
sources = glob.glob("/usr/local/lib/python3*/*-packages/torch/**/*.py", recursive=True)
compiled = [path for path in sources if os.path.exists(importlib.util.cache_from_source(path))]
def dates(path):
    with open(importlib.util.cache_from_source(path), "rb") as file:
        recorded = struct.unpack("<8xI", file.read(12))[0]
    return recorded, int(os.stat(path).st_mtime)
stale = sum(recorded != modified for recorded, modified in map(dates, compiled))
print(len(compiled) > 1000, stale)
"""


def test_the_bytecode_in_the_image_is_what_python_would_use(image):
    assert Buildah().run_python(image, COUNT_BYTECODE, timeout_sec=60) == "True 0\n"


def test_a_build_leaves_no_container(image):
    containers = json.loads(standins.run("buildah", "containers", "--json")) or []
    assert [found for found in containers if "flexpack-standin" in found["imagename"]] == []
