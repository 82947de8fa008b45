"""The bill of materials, judged by CycloneDX's own schema."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from launcher.image.sbom import build_sbom

REFERENCE = "localhost/flexpack:1.0"


def test_it_follows_the_schema(config, facts):
    schema = pytest.importorskip("cyclonedx.schema")
    validation = pytest.importorskip("cyclonedx.validation.json")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    text = build_sbom(REFERENCE, config, facts)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"container"', '"box"')) is not None


def test_every_package_is_named(config, facts):
    sbom = json.loads(build_sbom(REFERENCE, config, facts))
    assert [component["purl"] for component in sbom["components"]] == [
        "pkg:pypi/apache-beam@2.77.0",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64",
        "pkg:pypi/torch@2.13.0%2Bcpu",
    ]
    assert sbom["components"][0]["licenses"] == [{"expression": "Apache-2.0"}]
    assert sbom["metadata"]["component"]["name"] == REFERENCE


def test_the_same_image_gives_the_same_text(config, facts):
    assert build_sbom(REFERENCE, config, facts) == build_sbom(REFERENCE, config, facts)
    other = replace(config, diff_ids=("sha256:" + "2" * 64,))
    one, two = (json.loads(build_sbom(REFERENCE, image, facts)) for image in (config, other))
    assert one["serialNumber"] != two["serialNumber"]
