"""Attach a bill of materials and provenance to a pushed image.

Each is a separate artifact in the image's repository that names the image as its subject, where
scanners and policies look for it:
https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests-with-subject.
They are not signed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from launcher.image.record import BuiltImage
from launcher.image.registry import MANIFEST, Registry, describe
from launcher.image_reference import read_reference

PROVENANCE = "application/vnd.in-toto+json"

_EMPTY = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True)
class Attachment:
    """An attachment. ``name`` is its file's name in a download."""

    media_type: str
    name: str
    content: bytes


def build_provenance(image: BuiltImage) -> str:
    """Return how a pushed image was built, as SLSA provenance.

    It states what flexpack knows; anyone who builds with flexpack can change it.
    https://slsa.dev/spec/v1.0/provenance
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
    """Attach an artifact to an image in a registry and return its digest; may be repeated. Blocks.

    Args:
        pinned: the image, by digest.

    Raises:
        ImageError: the registry refuses; flexpack can log in only to Artifact Registry.
    """
    image = read_reference(pinned)
    registry = Registry(image)
    subject = registry.find(image.digest or "")
    layer = {
        "mediaType": attachment.media_type,
        **registry.upload(attachment.content),
        "annotations": {"org.opencontainers.image.title": attachment.name},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": attachment.media_type,
        "config": {"mediaType": _EMPTY, **registry.upload(b"{}")},
        "layers": [layer],
        "subject": subject,
    }
    content = json.dumps(manifest).encode()
    descriptor = {"mediaType": MANIFEST, **describe(content)}
    answer = registry.put_manifest(descriptor["digest"], content, MANIFEST)
    if "OCI-Subject" not in answer.headers:
        registry.add_to_index(
            subject["digest"], descriptor | {"artifactType": attachment.media_type}
        )
    digest: str = descriptor["digest"]
    return digest
