"""What the last build left behind: ``build/image/image.json``, read when a template is made."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from launcher.image.names import pin

FOLDER = Path("build") / "image"
_FILE = FOLDER / "image.json"


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """One built image. ``digest`` is its name in the registry, None until it is pushed."""

    reference: str
    version: str
    flavour: str
    engine: str
    digest: str | None = None

    @property
    def pinned(self) -> str | None:
        """The reference by digest, or None until the image is pushed."""
        return pin(self.reference, self.digest) if self.digest else None


def write_record(root: Path, record: ImageRecord) -> None:
    """Remember the last build."""
    path = root / _FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dataclasses.asdict(record), indent=2) + "\n")


def read_record(root: Path) -> ImageRecord | None:
    """Return the last build, or None."""
    path = root / _FILE
    return ImageRecord(**json.loads(path.read_text())) if path.exists() else None
