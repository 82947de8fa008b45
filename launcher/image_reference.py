"""Names of images.

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
class ImageReference:
    """The parts of ``HOST/PATH:TAG@DIGEST``."""

    host: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Read a reference; as in Docker, a first part without dot or port is not a host."""
        name, _, digest = text.partition("@")
        first, slash, rest = name.partition("/")
        if slash and ("." in first or ":" in first or first in ("localhost", "local")):
            host, path = first, rest
        else:
            host, path = "docker.io", name
        path, _, tag = path.partition(":")
        return cls(host, path, tag or None, digest or None)

    @property
    def name(self) -> str:
        """The reference without tag and digest."""
        return f"{self.host}/{self.path}"


@dataclass(frozen=True)
class Repository:
    """A repository of images in Artifact Registry."""

    location: str
    project: str
    name: str

    @property
    def resource(self) -> str:
        """Its name in the API."""
        return f"projects/{self.project}/locations/{self.location}/repositories/{self.name}"


def build_artifact_registry_name(region: str, project: str, repository: str) -> str:
    """Return the name, without tag, of the kit's image in Artifact Registry."""
    # In a registry, the id of a project with a domain, "example.com:project", is a path.
    return f"{region}{_ARTIFACT_REGISTRY}/{project.replace(':', '/')}/{repository}/flexpack"


def read_reference(text: str) -> ImageReference:
    """Return the parts of a reference whose registry is named.

    Raises:
        InputError: it is not of the form REGISTRY/NAME[:TAG][@DIGEST].
    """
    name, _, digest = text.partition("@")
    name = re.sub(r":[^:/]*$", "", name)
    if not _NAME.fullmatch(name) or (digest and not _DIGEST.fullmatch(digest)):
        raise InputError(
            f"--image {text!r}: expected REGISTRY/NAME[:TAG][@sha256:DIGEST], for example "
            "europe-west1-docker.pkg.dev/my-project/flexpack/flexpack:1.0"
        )
    return ImageReference.parse(text)


def pin(reference: str, digest: str) -> str:
    """Return the permanent reference to an image: by digest, without the tag."""
    return f"{read_reference(reference).name}@{digest}"


def find_repository(image: ImageReference) -> tuple[Repository, str] | None:
    """Return an image's repository and its name in it; None outside Artifact Registry."""
    location = image.host.removesuffix(_ARTIFACT_REGISTRY)
    parts = image.path.split("/")
    length = 2 if "." in parts[0] else 1  # of the project: the id of one with a domain is a path
    if location == image.host or len(parts) < length + 2:
        return None
    repository = Repository(location, ":".join(parts[:length]), parts[length])
    return repository, "/".join(parts[length + 1 :])


def suggest_repository(reference: str) -> str:
    """Return a line that says how to create an image's repository; "" outside Artifact Registry."""
    found = find_repository(read_reference(reference))
    if found is None:
        return ""
    repository, _ = found
    return (
        f"\nTo make the repository: gcloud artifacts repositories create {repository.name} "
        f"--repository-format=docker --location={repository.location} "
        f"--project={repository.project}"
    )
