"""The image, really built and really entered."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from launcher.errors import ImageError
from launcher.image.engines.buildah import Buildah
from tests.docker import standins
from tests.support import BIN, run

pytestmark = [pytest.mark.buildah, pytest.mark.slow]


def test_both_roles_work(project, image):
    done = run(
        *(str(BIN / "flexpack"), "image", "test", "--engine=buildah", "--no-size"),
        env=os.environ,
        cwd=project.root,
    )
    assert f"Testing {image} with buildah" in done.stdout
    assert "Python 3.11, Beam 2.77.0, torch 2.13.0+cpu, CUDA none" in done.stdout
    assert "16 predictions through Beam equal torch's" in done.stdout
    text = (project.root / "build" / "image" / "one.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    names = {component["name"] for component in json.loads(text)["components"]}
    assert {"apache-beam", "torch", "libc6"} <= names


def test_a_change_of_a_model_costs_at_most_20_kb(project, image):
    model = project.root / "template" / "models" / "fashion_mnist.py"
    text = model.read_text()
    model.write_text(f"{text}\n# changed\n")
    try:
        changed = project.build("two")
    finally:
        model.write_text(text)
    before, after = (Buildah().read_config(name).diff_ids for name in (image, changed))
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]
    inspected = json.loads(standins.run("buildah", "inspect", "--type=image", changed))
    new_blobs = (inspected["Config"], inspected["Manifest"])
    assert compressed_size(after[-1]) + sum(len(blob) for blob in new_blobs) <= 20_000


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


def test_another_beam_fails_the_build(project, image, tmp_path, capfd):
    with pytest.raises(ImageError, match="'buildah build' failed"):
        project.build("three", BEAM_IMAGE=standins.make_beam_image(tmp_path, "2.73.0"))
    assert "BEAM_IMAGE holds the boot program of Beam 2.73.0" in capfd.readouterr().err


def test_secrets_and_caches_are_not_in_the_image(image):
    container = standins.run("buildah", "from", "--pull-never", image)
    try:
        root = Path(standins.run("buildah", "mount", container))
        for path in ("etc/pip.conf", "etc/flexpack/ca.pem", "root/.cache/pip"):
            found = root / path
            assert not found.exists() or not any(found.iterdir()), path
        assert {path.name for path in (root / "opt" / "flexpack").iterdir()} == {
            *("boot", "check_versions.py", "locks", "template"),
        }
        assert not list(root.glob("opt/flexpack/template/**/__pycache__"))
    finally:
        standins.run("buildah", "rm", container)


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
