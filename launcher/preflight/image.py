"""Checks of references to container images."""

from __future__ import annotations

import re
from collections.abc import Iterator

from launcher.finding import Finding, error, warning
from launcher.image_reference import ImageReference

# Hosts at which Dataflow's workers authenticate by their service account.
_GOOGLE_HOST = re.compile(r"([a-z0-9-]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev")
# Hosts of images that need no credentials.
_PUBLIC_HOSTS = frozenset({"docker.io", "mcr.microsoft.com", "nvcr.io", "quay.io", "local"})


def check_image_reference(where: str, text: str) -> Iterator[Finding]:
    """Yield what is risky about an image that launcher or workers pull.

    Args:
        where: the field or flag that names it.
    """
    image = ImageReference.parse(text)
    if image.host == "local":  # stands for the kit's own environment on the local Dataflow
        return
    if image.digest is None and image.tag in (None, "latest"):
        yield warning(
            "image-tag",
            f"{where} {text!r}: {'the tag latest' if image.tag else 'no tag'}, so that launcher "
            "and workers may pull different images",
            "Name the image by digest (IMAGE@sha256:...) or by a tag that never moves.",
        )
    if _GOOGLE_HOST.fullmatch(image.host):
        return
    if image.host in _PUBLIC_HOSTS:
        return
    if image.host.startswith(("localhost", "127.")):
        yield error(
            "image-registry",
            f"{where} {text!r}: a registry on this machine, which no worker reaches",
            "Push the image to Artifact Registry: REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME.",
        )
        return
    yield warning(
        "image-registry",
        f"{where} {text!r}: workers cannot authenticate at {image.host}; the secrets of a spec "
        "are for the launcher alone",
        "Unless it is public, copy the image to Artifact Registry "
        "(REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME).",
    )
