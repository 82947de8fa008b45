"""Records builds: the last image of each engine.

The record is in ``build/image/image.json``, which is read when an image is tested and a template is
made.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.image.plan import BuildPlan
from launcher.image_reference import pin

FOLDER = Path("build") / "image"
_LAST = FOLDER / "image.json"


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """One built image.

    Attributes:
        build_args: values of the Dockerfile's ARGs.
        labels: its labels, in addition to the Dockerfile's own.
        context: hash of the files that it is made of.
        digest: its name in the registry; None until it is pushed.
        engine: docker, buildah or cloudbuild: where the image is, if it is not pushed.
        disk_size_gb: the smallest disk for a worker with this image; None until it is measured.
    """

    reference: str
    build_args: Mapping[str, str]
    labels: Mapping[str, str]
    context: str
    engine: str
    digest: str | None = None
    disk_size_gb: int | None = None

    def is_of(self, plan: BuildPlan) -> bool:
        """Return whether this is what the plan would make."""
        mine = (self.reference, self.build_args, self.labels, self.context)
        return mine == (plan.reference, plan.build_args, plan.labels, plan.context.hash)

    @property
    def pinned(self) -> str | None:
        """The reference by digest, for a container spec; None until the image is pushed."""
        return pin(self.reference, self.digest) if self.digest else None


def remember_image(root: Path, image: BuiltImage) -> None:
    """Record an image as the last one that was built."""
    images = [known for known in _read(root) if known.engine != image.engine]
    path = root / _LAST
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [dataclasses.asdict(known) for known in (*images, image)]
    path.write_text(json.dumps(records, indent=2) + "\n")


def remember_disk_size(root: Path, reference: str, disk_size_gb: int) -> None:
    """Note the disk that workers of the last image need, if this is its reference."""
    last = find_last_image(root)
    if last and reference in (last.reference, last.pinned):
        remember_image(root, dataclasses.replace(last, disk_size_gb=disk_size_gb))


def find_last_image(root: Path, engine: str | None = None) -> BuiltImage | None:
    """Return the last image that was built, by any engine or by one; None if there is none."""
    images = [image for image in _read(root) if engine in (None, image.engine)]
    return images[-1] if images else None


def _read(root: Path) -> list[BuiltImage]:
    """Return the records, the newest last, without those written by another version."""
    try:
        return [BuiltImage(**record) for record in json.loads((root / _LAST).read_text())]
    except (FileNotFoundError, ValueError, TypeError):
        return []
