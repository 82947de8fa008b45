"""The base images of docker/Dockerfile: by tag there, and by digest in docker/bases.txt.

A tag may move; a recorded digest changes only with ``flexpack image bases --move``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import FlexpackError, ImageError, InputError
from launcher.image.context import DOCKERFILE
from launcher.image.registry import Registry
from launcher.image_reference import pin, read_reference

PINS = Path("docker") / "bases.txt"

_ARG = re.compile(r"^ARG (\w+_IMAGE)=(\S+)$", re.MULTILINE)
_HEADER = (
    "# Written by 'flexpack image bases --move': what the tags in docker/Dockerfile stand for.\n"
)


@dataclass(frozen=True)
class Base:
    """A base image.

    Attributes:
        argument: the ARG of the Dockerfile.
        tag: its default there.
        digest: recorded for this tag, or None.
    """

    argument: str
    tag: str
    digest: str | None

    @property
    def pinned(self) -> str | None:
        """The reference by digest."""
        return pin(self.tag, self.digest) if self.digest else None


def read_bases(kit: Path) -> list[Base]:
    """Return the default base images.

    Raises:
        InputError: docker/bases.txt has a line that is not TAG@DIGEST.
    """
    digests: dict[str, str] = {}
    path = kit / PINS
    for line in path.read_text().splitlines() if path.exists() else ():
        if line and not line.startswith("#"):
            if not (digest := read_reference(line).digest):
                raise InputError(f"{PINS}: {line!r}: expected TAG@sha256:DIGEST")
            digests[line.partition("@")[0]] = digest
    found = _ARG.findall((kit / DOCKERFILE).read_text())
    return [Base(argument, tag, digests.get(tag)) for argument, tag in found]


def find_digest(base: Base) -> str:
    """Return the tag's current digest in the registry. Blocks, for seconds.

    Raises:
        ImageError: the registry does not answer, refuses, or lacks the image.
    """
    image = read_reference(base.tag)
    try:
        digest: str = Registry(image).find(image.tag or "latest")["digest"]
    except FlexpackError as error:
        raise ImageError(
            f"{base.argument}: {error}. {PINS} did not change; if you know the digest, write "
            f"{base.tag}@sha256:DIGEST into it"
        ) from error
    return digest


def write_pins(kit: Path, digests: dict[str, str]) -> None:
    """Record the digest of each tag."""
    lines = (f"{tag}@{digest}\n" for tag, digest in digests.items())
    (kit / PINS).write_text(_HEADER + "".join(lines))
