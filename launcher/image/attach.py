"""What is attached to a pushed image: its bill of materials, and how it was built.

Each is an artifact of its own in the image's repository that names the image as its subject, where
scanners and policies look for it:
https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests-with-subject.
They are not signed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import requests

from launcher.errors import ImageError
from launcher.google.transport import open_google_session
from launcher.image.record import BuiltImage
from launcher.image_reference import ImageReference, find_repository, read_reference

PROVENANCE = "application/vnd.in-toto+json"

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_EMPTY = "application/vnd.oci.empty.v1+json"
_TIMEOUT_SEC = 60.0


@dataclass(frozen=True)
class Attachment:
    """What is attached. ``name`` is the file that a download makes of it."""

    media_type: str
    name: str
    content: bytes


def build_provenance(image: BuiltImage) -> str:
    """Return how a pushed image was built, as SLSA provenance: https://slsa.dev/spec/v1.0/provenance.

    It says what flexpack knows; whoever builds with it can say anything.
    """
    name, digest = (image.pinned or "").split("@sha256:")
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:flexpack:image:1",
                "externalParameters": {
                    "buildArgs": dict(image.build_args),
                    "labels": dict(image.labels),
                },
                "resolvedDependencies": [
                    {"name": "build context", "digest": {"sha256": image.context}}
                ],
            },
            "runDetails": {"builder": {"id": f"urn:flexpack:{image.engine}"}},
        },
    }
    return json.dumps(statement, indent=2) + "\n"


def attach(pinned: str, attachment: Attachment) -> str:
    """Attach something to an image in a registry and return its digest; may be repeated. Blocks.

    Args:
        pinned: the image, by digest.

    Raises:
        ImageError: the registry refuses, or is one whose login is not known here.
    """
    image = read_reference(pinned)
    registry = _Registry(image)
    subject = registry.describe(image.digest or "")
    layer = {
        "mediaType": attachment.media_type,
        **registry.upload(attachment.content),
        "annotations": {"org.opencontainers.image.title": attachment.name},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "artifactType": attachment.media_type,
        "config": {"mediaType": _EMPTY, **registry.upload(b"{}")},
        "layers": [layer],
        "subject": subject,
    }
    content = json.dumps(manifest).encode()
    descriptor = {"mediaType": _MANIFEST, **_describe(content)}
    answer = registry.put_manifest(descriptor["digest"], content, _MANIFEST)
    if "OCI-Subject" not in answer.headers:
        registry.add_to_index(
            subject["digest"], descriptor | {"artifactType": attachment.media_type}
        )
    digest: str = descriptor["digest"]
    return digest


class _Registry:
    """The repository of one image, over HTTP."""

    def __init__(self, image: ImageReference) -> None:
        if find_repository(image):
            self._session, scheme = open_google_session(), "https"
        elif image.host.partition(":")[0] == "localhost":
            self._session, scheme = requests.Session(), "http"
        else:
            raise ImageError(
                f"{image.host}: not Artifact Registry, and its login is not known; attach it with "
                "'oras attach'"
            )
        self._name = image.name
        self._place = f"{scheme}://{image.host}/v2/{image.path}/"

    def describe(self, digest: str) -> dict[str, Any]:
        """Return the descriptor of a manifest."""
        accept = {"Accept": f"{_MANIFEST}, {_INDEX}, {_DOCKER_MANIFEST}"}
        answer = self._call("GET", f"manifests/{digest}", headers=accept)
        return {
            "mediaType": answer.headers["Content-Type"],
            "digest": digest,
            "size": len(answer.content),
        }

    def upload(self, content: bytes) -> dict[str, Any]:
        """Upload a blob and return its digest and size."""
        described = _describe(content)
        place = self._call("POST", "blobs/uploads/").headers["Location"]
        self._call(
            "PUT",
            urljoin(self._place, place),
            params={"digest": described["digest"]},
            headers={"Content-Type": "application/octet-stream"},
            data=content,
        )
        return described

    def put_manifest(self, reference: str, content: bytes, media_type: str) -> requests.Response:
        """Store a manifest by digest or tag."""
        headers = {"Content-Type": media_type}
        return self._call("PUT", f"manifests/{reference}", headers=headers, data=content)

    def add_to_index(self, subject: str, descriptor: Mapping[str, Any]) -> None:
        """Add a manifest to those of a subject, for a registry that does not keep them itself.

        https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema
        """
        tag = subject.replace(":", "-")
        answer = self._call("GET", f"manifests/{tag}", headers={"Accept": _INDEX}, may_miss=True)
        known = answer.json()["manifests"] if answer.ok else []
        if descriptor["digest"] in (each["digest"] for each in known):
            return
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [*known, dict(descriptor)]}
        self.put_manifest(tag, json.dumps(index).encode(), _INDEX)

    def _call(
        self, method: str, place: str, *, may_miss: bool = False, **options: Any
    ) -> requests.Response:
        url = urljoin(self._place, place)
        try:
            answer = self._session.request(method, url, timeout=_TIMEOUT_SEC, **options)
        except requests.RequestException as error:
            raise ImageError(f"{self._name}: the registry does not answer: {error}") from error
        if not answer.ok and not (may_miss and answer.status_code == requests.codes.not_found):
            raise ImageError(
                f"{self._name}: the registry refuses an attachment with {answer.status_code}: "
                f"{answer.text[:300]}"
            )
        return answer


def _describe(content: bytes) -> dict[str, Any]:
    return {
        "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "size": len(content),
    }
