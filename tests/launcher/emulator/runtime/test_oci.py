"""``oci`` in images.toml: what is refused at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from launcher.emulator.runtime.images import BadImagesFileError, load_images
from launcher.emulator.runtime.oci import resolve_layout

REFERENCE = "registry/flexpack:1"


@pytest.fixture
def load(tmp_path):
    def read(entry):
        path = tmp_path / "images.toml"
        path.write_text(f'["{REFERENCE}"]\n{entry}\n')
        return load_images(path, workdir=tmp_path)

    return read


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('oci = "a/b"\nworkdir = "."', r"\['registry/flexpack:1'\]: .* has its own workdir"),
        ('oci = "a/b"\npython = "python"', "has its own python"),
        ("oci = 5", "oci must name an image, not 5"),
        ('oci = ""', "oci must name an image, not ''"),
    ],
)
def test_entries_that_cannot_be_right(load, entry, message):
    with pytest.raises(BadImagesFileError, match=message):
        load(entry)


def test_without_buildah(load, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadImagesFileError, match=r"oci 'a/b': needs buildah.*apt-get install"):
        load('oci = "a/b"')


@pytest.mark.skipif(os.geteuid() != 0, reason="not root")
def test_an_image_that_is_not_there(load, monkeypatch):
    import shutil

    if shutil.which("buildah") is None:
        pytest.skip("buildah is not installed")
    with pytest.raises(BadImagesFileError, match=r"oci 'localhost/no-such:1': 'buildah from"):
        load('oci = "localhost/no-such:1"')


@pytest.mark.parametrize(
    ("reference", "resolved"),
    [
        ("localhost/flexpack:1.0", "localhost/flexpack:1.0"),
        ("oci", "oci"),
        ("oci:layout", "oci:/project/layout"),
        ("oci:layout:1.0", "oci:/project/layout:1.0"),
        ("oci:/layouts/a", "oci:/layouts/a"),
    ],
)
def test_the_folder_of_a_layout_is_beside_the_file(reference, resolved):
    assert resolve_layout(reference, Path("/project")) == resolved
