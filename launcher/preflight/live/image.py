"""Check that the image is in its registry, for the right processor, and fits the workers' disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from launcher.accelerators.gpu_defaults import recommend_disk_size_gb
from launcher.finding import IMAGE_ARCHITECTURE, IMAGE_MISSING, IMAGE_UNPACKED, Finding, error
from launcher.image_reference import ImageReference, find_repository
from launcher.preflight.live.cloud import Cloud, Missing, Unanswered
from launcher.preflight.subject import Launch

# Measured: 3.1 GB compressed unpack to 5.7 GB, and for a while both are on the disk.
_UNPACKED_SHARE = 2.0
# The least that the VM's system and logs need in addition.
_SYSTEM_GB = 12.0
# The service's, if a job names none.
DEFAULT_DISK_GB = 25


def check_image(cloud: Cloud, launch: Launch) -> Iterator[Finding]:
    """Yield the problems of the workers' image."""
    text = launch.environment.sdk_container_image or launch.image
    image = ImageReference.parse(text)
    place = find_repository(image)
    if place is None:
        raise Unanswered(f"{text}: only images in Artifact Registry can be checked")
    repository, name = place
    try:
        found = _find(cloud, repository.resource, name, image)
    except Missing:
        found = None
    if found is None:
        yield error(
            IMAGE_MISSING,
            f"--sdk-container-image {text}: there is no such image",
            "Push it, or correct the name; flexpack image build pushes the template's.",
        )
        return
    architectures = {item.get("architecture") for item in found.get("imageManifests", ())} - {None}
    if architectures and "amd64" not in architectures:
        yield error(
            IMAGE_ARCHITECTURE,
            f"--sdk-container-image {text}: is for {', '.join(sorted(map(str, architectures)))}, "
            "but the workers are linux/amd64",
            "Build it with --platform linux/amd64.",
        )
    compressed_gb = int(found.get("imageSizeBytes", 0)) / 1e9
    unpacked_gb = compressed_gb * _UNPACKED_SHARE
    disk_gb = launch.environment.disk_size_gb or DEFAULT_DISK_GB
    if compressed_gb + unpacked_gb + _SYSTEM_GB > disk_gb:
        yield error(
            IMAGE_UNPACKED,
            f"--sdk-container-image {text}: {compressed_gb:.1f} GB compressed, about "
            f"{unpacked_gb:.1f} GB unpacked, but the workers' disks have {disk_gb} GB",
            "Use --disk-size-gb "
            f"{recommend_disk_size_gb(compressed_gb=compressed_gb, unpacked_gb=unpacked_gb)}.",
        )


def _find(cloud: Cloud, parent: str, name: str, image: ImageReference) -> dict[str, Any] | None:
    if image.digest:
        return cloud.ask(
            "artifactregistry",
            lambda api: (
                api.projects()
                .locations()
                .repositories()
                .dockerImages()
                .get(name=f"{parent}/dockerImages/{name.replace('/', '%2F')}@{image.digest}")
            ),
        )
    tag = image.tag or "latest"
    page_token: str | None = None
    while True:
        page = _list_page(cloud, parent, page_token)
        for found in page.get("dockerImages", ()):
            path = str(found.get("uri", "")).partition("@")[0]
            if path.endswith(f"/{name}") and tag in found.get("tags", ()):
                return dict(found)
        page_token = page.get("nextPageToken")
        if not page_token:
            return None


def _list_page(cloud: Cloud, parent: str, page_token: str | None) -> dict[str, Any]:
    return cloud.ask(
        "artifactregistry",
        lambda api: (
            api.projects()
            .locations()
            .repositories()
            .dockerImages()
            .list(parent=parent, pageSize=1000, pageToken=page_token)
        ),
    )
