"""The format of a model's images: size, colours, and how images are fitted."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass, fields
from typing import Literal

_MODES = ("RGB", "L")
_FITS = ("stretch", "crop", "pad")
_FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
_ORIENTATIONS = ("stored", "upright")
_RESIZERS = ("pillow", "torch")
_FILTERS_OF_TORCH = ("bilinear", "bicubic")
_MOST_PIXELS = 1 << 26


@dataclass(frozen=True)
class ImageFormat:
    """The format of every image; see ``Images``, which a model declares."""

    size: int | tuple[int, int] | None = None
    mode: Literal["RGB", "L"] = "RGB"
    fit: Literal["crop", "stretch", "pad"] = "crop"
    shorter_side: int | None = None
    fill: int | tuple[int, ...] = 0
    filter: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bilinear"
    mean: float | tuple[float, ...] = 0.0
    std: float | tuple[float, ...] = 1.0
    orientation: Literal["stored", "upright"] = "stored"
    scaled_decoding: bool = False
    resizer: Literal["pillow", "torch"] = "pillow"

    def __post_init__(self) -> None:
        for name in ("size", "mean", "std", "fill"):
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        if self.size is None:
            given = [each.name for each in fields(self) if getattr(self, each.name) != each.default]
            if given:
                raise ValueError(f"Images({given[0]}=...): give size as well, (height, width)")
            return
        for name, choices in (
            ("mode", _MODES),
            ("fit", _FITS),
            ("filter", _FILTERS),
            ("orientation", _ORIENTATIONS),
            ("resizer", _RESIZERS),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"Images({name}={getattr(self, name)!r}): not one of {', '.join(choices)}"
                )
        if self.resizer == "torch":
            self._check_torch()
        sides = (self.size, self.size) if isinstance(self.size, int) else self.size
        if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
            raise ValueError(f"Images(size={self.size!r}): not (height, width) in pixels")
        if math.prod(sides) > _MOST_PIXELS:
            raise ValueError(f"Images(size={self.size!r}): more than {_MOST_PIXELS} pixels")
        if self.shorter_side is not None and (self.fit != "crop" or self.shorter_side < max(sides)):
            raise ValueError(
                f"Images(shorter_side={self.shorter_side!r}): only for fit='crop', and not less "
                f"than the size {sides}"
            )
        fills = self._per_channel("fill", self.fill)
        if not all(type(value) is int and 0 <= value <= 255 for value in fills):
            raise ValueError(f"Images(fill={self.fill!r}): not from 0 to 255")
        self._per_channel("mean", self.mean)
        if not all(self._per_channel("std", self.std)):
            raise ValueError(f"Images(std={self.std!r}): division by 0")

    def _check_torch(self) -> None:
        if self.filter not in _FILTERS_OF_TORCH:
            filters = " and ".join(_FILTERS_OF_TORCH)
            raise ValueError(f"Images(filter={self.filter!r}): resizer='torch' has {filters}")
        if importlib.util.find_spec("torch") is None:
            raise ValueError("Images(resizer='torch'): torch is not installed; use 'pillow'")

    def _per_channel(self, name: str, value: float | tuple[float, ...]) -> tuple[float, ...]:
        values = value if isinstance(value, tuple) else (value,)
        if len(values) not in (1, self.channels):
            raise ValueError(
                f"Images({name}={value!r}): {len(values)} values for {self.channels} channels"
            )
        return values

    @property
    def is_declared(self) -> bool:
        """Whether images are fitted; otherwise they are read as they are stored."""
        return self.size is not None

    @property
    def channels(self) -> int:
        """1 or 3."""
        return 1 if self.mode == "L" else 3

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width."""
        assert self.size is not None, "only of declared images"
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an image: (height, width), or (height, width, 3)."""
        return self.sides if self.mode == "L" else (*self.sides, 3)

    @property
    def image_bytes(self) -> int:
        """The bytes of an image; 0 if images stay as they are stored."""
        return math.prod(self.shape) if self.is_declared else 0


AS_STORED = ImageFormat()
"""The format for a model that declares no images."""
