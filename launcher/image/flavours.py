"""The builds of torch that an image can hold, and the image without torch.

The facts are in ``flavours.json``, dated and with their source. A flavour is one word in a build
(``make image FLAVOUR=cu126``) and one folder of pinned packages, ``docker/locks/<name>``. The
catalogue in ``launcher.accelerators.catalogue`` has the GPUs and drivers of each.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from launcher.errors import InputError
from template.parameters import did_you_mean

_LOCKS = Path("docker") / "locks"

# Built against torch: an index has one build of these packages for each flavour of torch.
TORCH_COMPANIONS = ("torchvision", "torchaudio", "torchcodec", "fbgemm-gpu", "xformers")


@dataclass(frozen=True, kw_only=True)
class Flavour:
    """One build of torch, or none.

    Attributes:
        torch_version: its version with the local part, by which an index distinguishes the builds;
            one without a local part is on PyPI. None for an image without torch, to which a project
            may add its own.
        cuda_version: of the CUDA libraries inside; None without CUDA.
        compressed_budget_gb: the image's size in the registry above which a build warns.
    """

    name: str
    description: str
    torch_version: str | None
    cuda_version: str | None
    compressed_budget_gb: float

    @property
    def lock_folder(self) -> Path:
        """The folder of its locks, relative to the project's root."""
        return _LOCKS / self.name

    @property
    def is_on_pypi(self) -> bool:
        return "+" not in (self.torch_version or "")

    def has_build(self, version: str) -> bool:
        """Return whether this version of a package was built with this flavour's torch."""
        if self.torch_version is None:
            return True
        return version.partition("+")[2] == self.torch_version.partition("+")[2]


@functools.cache
def load_flavours() -> tuple[Flavour, ...]:
    """Return all flavours."""
    return tuple(Flavour(**record) for record in _document()["flavours"])


def default_flavour() -> str:
    """Return the name of the flavour that an image gets by default."""
    return str(_document()["default"])


def find_flavour(name: str) -> Flavour:
    """Return a flavour by name.

    Raises:
        InputError: there is no such flavour.
    """
    flavours = {flavour.name: flavour for flavour in load_flavours()}
    if name not in flavours:
        raise InputError(
            f"--flavour {name!r}: one of {', '.join(flavours)}{did_you_mean(name, flavours)}"
        )
    return flavours[name]


def _document() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("flavours.json").read_text()
    document: dict[str, Any] = json.loads(text)
    return document
