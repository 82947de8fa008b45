"""The bill of materials, judged by CycloneDX's own schema."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from launcher.image.sbom import build_sbom
from launcher.preflight.image_rules import BOOT, LAUNCHER

REFERENCE = "localhost/flexpack:1.0"


def test_it_follows_the_schema(config, facts):
    schema = pytest.importorskip("cyclonedx.schema")
    validation = pytest.importorskip("cyclonedx.validation.json")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_5)
    text = build_sbom(REFERENCE, config, facts)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"container"', '"box"')) is not None


def test_everything_is_named_as_scanners_name_it(config, facts):
    sbom = json.loads(build_sbom(REFERENCE, config, facts))
    assert (sbom["specVersion"], sbom["metadata"]["component"]["name"]) == ("1.5", REFERENCE)
    components = {component["bom-ref"]: component for component in sbom["components"]}
    assert {ref for ref, found in components.items() if found["type"] == "library"} == {
        "pkg:pypi/apache-beam@2.77.0",
        "pkg:pypi/torch@2.13.0%2Bcpu",
        "pkg:deb/debian/bash@5.2.15-2?arch=amd64&distro=debian-12",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64&distro=debian-12&upstream=glibc",
        "pkg:golang/github.com/apache/beam/sdks/v2@%28devel%29#/opt/apache/beam/boot",
        "pkg:golang/google.golang.org/grpc@v1.76.0#/opt/apache/beam/boot",
        "pkg:golang/stdlib@1.25.3#/opt/apache/beam/boot",
    }
    assert components["pkg:pypi/apache-beam@2.77.0"]["licenses"] == [{"expression": "Apache-2.0"}]
    system = components["os:debian@12"]
    assert (system["type"], system["name"], system["version"]) == (
        *("operating-system", "debian"),
        "12",
    )
    python = components["pkg:generic/python@3.11.9"]
    assert python["cpe"] == "cpe:2.3:a:python:python:3.11.9:*:*:*:*:*:*:*"
    for path in (BOOT, LAUNCHER):
        assert len(components[f"file:{path}"]["hashes"][0]["content"]) == 64


def test_what_a_program_holds_depends_on_it(config, facts):
    sbom = json.loads(build_sbom(REFERENCE, config, facts))
    needs = {each["ref"]: set(each.get("dependsOn", ())) for each in sbom["dependencies"]}
    assert needs[f"image:{REFERENCE}"] >= {f"file:{BOOT}", f"file:{LAUNCHER}", "os:debian@12"}
    assert f"pkg:golang/google.golang.org/grpc@v1.76.0#{BOOT}" in needs[f"file:{BOOT}"]


def test_the_same_image_gives_the_same_text(config, facts):
    assert build_sbom(REFERENCE, config, facts) == build_sbom(REFERENCE, config, facts)
    other = replace(config, diff_ids=("sha256:" + "2" * 64,))
    one, two = (json.loads(build_sbom(REFERENCE, image, facts)) for image in (config, other))
    assert one["serialNumber"] != two["serialNumber"]
