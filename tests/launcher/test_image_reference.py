"""What images are called."""

from __future__ import annotations

import pytest

from launcher.errors import InputError
from launcher.image_reference import (
    build_artifact_registry_name,
    find_repository,
    pin,
    read_reference,
    suggest_repository,
)

DIGEST = "sha256:" + "a" * 64
NAME = "europe-west1-docker.pkg.dev/my-project/flexpack/flexpack"


def test_the_name_in_artifact_registry():
    assert build_artifact_registry_name("europe-west1", "my-project", "flexpack") == NAME


def test_a_project_of_a_domain_is_a_path():
    name = build_artifact_registry_name("us-central1", "example.com:my-project", "r")
    assert name == "us-central1-docker.pkg.dev/example.com/my-project/r/flexpack"


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        (NAME, (NAME, None, None)),
        (f"{NAME}:1.0", (NAME, "1.0", None)),
        (f"{NAME}@{DIGEST}", (NAME, None, DIGEST)),
        (f"{NAME}:1.0@{DIGEST}", (NAME, "1.0", DIGEST)),
        ("localhost:5000/flexpack", ("localhost:5000/flexpack", None, None)),
        ("localhost:5000/flexpack:1", ("localhost:5000/flexpack", "1", None)),
    ],
)
def test_references_are_taken_apart(reference, parts):
    image = read_reference(reference)
    assert (image.name, image.tag, image.digest) == parts


@pytest.mark.parametrize("reference", ["flexpack", "a b/c", f"{NAME}@sha256:12", "Host/UPPER", ""])
def test_what_is_no_reference(reference):
    with pytest.raises(InputError, match=r"--image .*expected REGISTRY/NAME"):
        read_reference(reference)


def test_a_pinned_image_has_no_tag():
    assert pin(f"{NAME}:1.0", DIGEST) == f"{NAME}@{DIGEST}"


@pytest.mark.parametrize("project", ["my-project", "example.com:my-project"])
def test_how_to_make_a_repository(project):
    name = build_artifact_registry_name("europe-west1", project, "images")
    assert suggest_repository(f"{name}:1.0").split(": ", 1)[1] == (
        "gcloud artifacts repositories create images --repository-format=docker "
        f"--location=europe-west1 --project={project}"
    )


@pytest.mark.parametrize("project", ["my-project", "example.com:my-project"])
def test_where_an_image_is_in_artifact_registry(project):
    name = build_artifact_registry_name("europe-west1", project, "images")
    repository, image = find_repository(read_reference(f"{name}/nested:1.0"))
    assert repository.resource == (f"projects/{project}/locations/europe-west1/repositories/images")
    assert image == "flexpack/nested"


@pytest.mark.parametrize("reference", ["localhost:5000/flexpack:1.0", "docker.io/ada/flexpack"])
def test_other_registries_need_no_repository(reference):
    assert suggest_repository(reference) == ""
