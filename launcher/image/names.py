"""What an image is called.

https://cloud.google.com/artifact-registry/docs/docker/names
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from launcher.errors import InputError

LOCAL = "localhost/flexpack"
"""Name of an image that is not meant for a registry."""

_ARTIFACT_REGISTRY = "-docker.pkg.dev"
_NAME = re.compile(
    r"[a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+", flags=re.ASCII
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Repository:
    """A repository of images in Artifact Registry."""

    location: str
    project: str
    name: str


def build_artifact_registry_name(region: str, project: str, repository: str) -> str:
    """Return the name, without tag, of the kit's image in Artifact Registry."""
    # A project id of a domain, "example.com:project", is a path there.
    return f"{region}{_ARTIFACT_REGISTRY}/{project.replace(':', '/')}/{repository}/flexpack"


def split_reference(reference: str) -> tuple[str, str | None, str | None]:
    """Return name, tag and digest of an image reference.

    Raises:
        InputError: it is not of the form REGISTRY/NAME[:TAG][@DIGEST].
    """
    rest, _, digest = reference.partition("@")
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        name, tag = rest, ""
    if not _NAME.fullmatch(name) or (digest and not _DIGEST.fullmatch(digest)):
        raise InputError(
            f"--image {reference!r}: expected REGISTRY/NAME[:TAG][@sha256:DIGEST], for example "
            "europe-west1-docker.pkg.dev/my-project/flexpack/flexpack:1.0"
        )
    return name, tag or None, digest or None


def pin(reference: str, digest: str) -> str:
    """Return the reference to one image for all time: by digest, without the tag."""
    name, _, _ = split_reference(reference)
    return f"{name}@{digest}"


def find_repository(reference: str) -> Repository | None:
    """Return the repository of an image; None outside Artifact Registry."""
    name, _, _ = split_reference(reference)
    host, *path = name.split("/")
    location = host.removesuffix(_ARTIFACT_REGISTRY)
    if location == host or len(path) < 3:
        return None
    *project, repository, _ = path
    return Repository(location, ":".join(project), repository)


def suggest_repository(reference: str) -> str:
    """Return a line that says how to make an image's repository; "" outside Artifact Registry."""
    found = find_repository(reference)
    if found is None:
        return ""
    return (
        f"\nTo make the repository: gcloud artifacts repositories create {found.name} "
        f"--repository-format=docker --location={found.location} --project={found.project}"
    )
