"""What is attached to an image can be found in a real registry."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import replace

import pytest

from launcher.errors import ImageError
from launcher.image.attach import Attachment, attach
from launcher.image.build import attach_records
from launcher.image.engines.buildah import Buildah
from launcher.image.record import BuiltImage
from tests.docker import standins
from tests.docker.registry import MANIFESTS

pytestmark = [pytest.mark.buildah, pytest.mark.slow]
SBOM = '{"bomFormat": "CycloneDX"}'


@pytest.fixture
def pushed(project, registry):
    name = f"{registry.host}/flexpack"
    made = standins.make_copy(project.build_args["LAUNCHER_IMAGE"], f"{name}:1.0")
    image = BuiltImage(
        reference=f"{name}:1.0",
        build_args={"FLAVOUR": "cpu"},
        labels={},
        context="c" * 64,
        engine="buildah",
        digest=Buildah().push(f"{name}:1.0"),
    )
    standins.run("buildah", "rmi", made)
    return image


def read(registry, place):
    request = urllib.request.Request(
        f"http://{registry.host}/v2/flexpack/{place}", headers={"Accept": ", ".join(MANIFESTS)}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def find_attached(registry, image):
    """Return what is attached, by type, using the tag of registries that have no API for it."""
    index = read(registry, f"manifests/{image.digest.replace(':', '-')}")
    found = {}
    for descriptor in index["manifests"]:
        manifest = read(registry, f"manifests/{descriptor['digest']}")
        assert manifest["subject"]["digest"] == image.digest
        assert manifest["artifactType"] == descriptor["artifactType"]
        (layer,) = manifest["layers"]
        found[manifest["artifactType"]] = read(registry, f"blobs/{layer['digest']}")
    assert len(found) == len(index["manifests"])
    return found


def test_the_bill_of_materials_and_the_provenance_are_attached(registry, pushed, tmp_path):
    sbom = tmp_path / "sbom.json"
    sbom.write_text(SBOM)
    for _ in range(2):  # A second time changes nothing.
        said = []
        attach_records(pushed, sbom, said.append)
        assert said == ["Attached to the image: its bill of materials and its provenance."]
    found = find_attached(registry, pushed)
    assert found.keys() == {"application/vnd.cyclonedx+json", "application/vnd.in-toto+json"}
    assert found["application/vnd.cyclonedx+json"] == json.loads(SBOM)
    statement = found["application/vnd.in-toto+json"]
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [
        {"name": f"{registry.host}/flexpack", "digest": {"sha256": pushed.digest[7:]}}
    ]
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["buildArgs"] == {"FLAVOUR": "cpu"}


def test_an_image_that_was_not_tested_has_its_provenance(registry, pushed):
    said = []
    attach_records(pushed, None, said.append)
    assert said == ["Attached to the image: its provenance."]
    assert find_attached(registry, pushed).keys() == {"application/vnd.in-toto+json"}


def test_an_image_that_is_not_there(registry, pushed):
    other = replace(pushed, digest=f"sha256:{'0' * 64}")
    with pytest.raises(ImageError, match=r"its registry refuses manifests/.* with 404"):
        attach(other.pinned, Attachment("text/plain", "a.txt", b"a"))
    said = []
    attach_records(other, None, said.append)
    assert "warning: bill of materials and provenance are not attached" in said[0]
