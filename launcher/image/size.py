"""How big an image is, layer by layer: to download, unpacked, and on the worker's disk.

Reads an OCI layout, https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.accelerators.gpu_defaults import recommend_disk_size_gb
from launcher.errors import ImageError
from launcher.finding import IMAGE_SIZE, Finding, warning
from launcher.image.flavours import Flavour

_GB = 1e9
_CHUNK_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_LEVEL = 6

# Names of the layers of docker/Dockerfile, by words in their instructions.
_NAMES = (
    ("/locks/torch.txt", "torch and its CUDA libraries"),
    ("/locks/beam.txt", "Beam, and what else flexpack needs"),
    ("/locks/project.txt", "packages of docker/requirements.in"),
    ("/locks/requirements.txt", "packages of your projects"),
    ("install_system.py /opt", "Debian packages"),
    ("/opt/google/dataflow/python_template_launcher", "the launcher program"),
    ("/opt/apache/beam", "Beam's boot program"),
)
_CODE = ("flexpack's code", "your code")
# The first layer of the Dockerfile itself, whose target the engines record.
_FIRST = "/opt/flexpack/build/"

# What buildah records for the files of a COPY: "multi:", their hash, "in", the target.
_HASHED_SOURCE = re.compile(r"\b(dir|file|multi):[0-9a-f]+ in ")


@dataclass(frozen=True)
class Layer:
    """One layer: what made it, and its bytes in the registry and on a disk."""

    created_by: str
    compressed_bytes: int
    unpacked_bytes: int


@dataclass(frozen=True)
class ImageSize:
    """The sizes of an image. ``is_exact`` is False if the layers were not compressed yet."""

    layers: tuple[Layer, ...]
    is_exact: bool

    @property
    def compressed_bytes(self) -> int:
        return sum(layer.compressed_bytes for layer in self.layers)

    @property
    def unpacked_bytes(self) -> int:
        return sum(layer.unpacked_bytes for layer in self.layers)

    @property
    def disk_size_gb(self) -> int:
        """The smallest disk that a worker should have."""
        return recommend_disk_size_gb(
            compressed_gb=self.compressed_bytes / _GB, unpacked_gb=self.unpacked_bytes / _GB
        )


def read_size(layout: Path) -> ImageSize:
    """Measure the one image of an OCI layout. Unpacks every layer, which takes a while.

    Raises:
        ImageError: it is not an OCI layout, or holds several images.
    """
    manifest = _find_manifest(layout)
    config = _read_json(layout, manifest["config"])
    steps = [step for step in config.get("history", []) if not step.get("empty_layer")]
    layers = []
    is_exact = True
    for number, descriptor in enumerate(manifest["layers"]):
        compressed, unpacked, was_compressed = _measure(_blob(layout, descriptor))
        is_exact = is_exact and was_compressed
        made_by = steps[number].get("created_by", "") if number < len(steps) else ""
        layers.append(Layer(made_by, compressed, unpacked))
    return ImageSize(tuple(layers), is_exact)


def check_size(size: ImageSize, flavour: Flavour) -> list[Finding]:
    """Return a warning if an image is bigger than its flavour's budget."""
    compressed = size.compressed_bytes / _GB
    if compressed <= flavour.compressed_budget_gb:
        return []
    biggest = max(size.layers, key=lambda layer: layer.compressed_bytes)
    return [
        warning(
            IMAGE_SIZE,
            f"the image is {compressed:.2f} GB compressed; the budget of {flavour.name} is "
            f"{flavour.compressed_budget_gb:g} GB. Its biggest layer, "
            f"{biggest.compressed_bytes / _GB:.2f} GB: {describe_step(biggest.created_by)}",
            "leave weights out of the image (--parameters model_path=gs://...), use no CUDA base; "
            "every new worker downloads all of it. The budget is in launcher/image/flavours.json",
        )
    ]


def name_layers(layers: Sequence[Layer]) -> list[str]:
    """Return what each layer of docker/Dockerfile holds; for other Dockerfiles its instruction."""
    names = [_name_step(layer.created_by) for layer in layers]
    first = next((n for n, layer in enumerate(layers) if _FIRST in layer.created_by), None)
    if first is not None:
        names[:first] = ["the base image"] * first
        names[-len(_CODE) :] = _CODE
    return names


def _name_step(created_by: str) -> str:
    found = (name for words, name in _NAMES if words in created_by)
    return next(found, describe_step(created_by))


def describe_step(created_by: str) -> str:
    """Return what made a layer as its Dockerfile instruction, without what engines add."""
    text = created_by.partition("#(nop)")[2] or created_by
    text = text.removeprefix("RUN ").partition("/bin/sh -c ")[2] or text
    text = _HASHED_SOURCE.sub("to ", text).removesuffix("# buildkit")
    words = [word for word in text.split() if not word.startswith("--mount=")]
    return " ".join(words) or "(base image)"


def _find_manifest(layout: Path) -> dict[str, Any]:
    try:
        descriptors = json.loads((layout / "index.json").read_text())["manifests"]
        while True:
            if len(descriptors) != 1:
                raise ImageError(f"{layout}: holds {len(descriptors)} images, not one")
            document = _read_json(layout, descriptors[0])
            if "manifests" not in document:
                return document
            descriptors = document["manifests"]
    except (OSError, ValueError, KeyError) as error:
        raise ImageError(f"{layout}: not an OCI layout: {error}") from error


def _read_json(layout: Path, descriptor: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_blob(layout, descriptor).read_bytes())
    return document


def _blob(layout: Path, descriptor: dict[str, Any]) -> Path:
    digest: str = descriptor["digest"]
    algorithm, _, value = digest.partition(":")
    return layout / "blobs" / algorithm / value


def _measure(blob: Path) -> tuple[int, int, bool]:
    """Return compressed and unpacked size, and whether the blob was compressed already."""
    with blob.open("rb") as file:
        is_compressed = file.read(2) == _GZIP_MAGIC
    size = blob.stat().st_size
    if is_compressed:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        return size, sum(len(unpacker.decompress(chunk)) for chunk in _chunks(blob)), True
    packer = zlib.compressobj(_GZIP_LEVEL)
    compressed = sum(len(packer.compress(chunk)) for chunk in _chunks(blob)) + len(packer.flush())
    return compressed, size, False


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
