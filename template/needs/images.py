"""The images that a model expects, and how ``predict`` gets them as one array or tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import pandas as pd
import torch

from template.blocks import IMAGE
from template.needs.fitting import fit_array

if TYPE_CHECKING:
    from template.model import BaseModel

_MODES = ("RGB", "L")
_FITS = ("stretch", "crop", "pad")
_FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
_ORIENTATIONS = ("stored", "upright")
_MOST_PIXELS = 1 << 26
_SMALL_BYTES = 4096


@dataclass(frozen=True)
class ImageFormat:
    """What every image becomes; see ``Images``, which a model declares."""

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
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"Images({name}={getattr(self, name)!r}): not one of {', '.join(choices)}"
                )
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
            raise ValueError(f"Images(std={self.std!r}): 0 divides nothing")

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
        """The bytes of an image; 0 if they are as they are stored."""
        return math.prod(self.shape) if self.is_declared else 0


AS_STORED = ImageFormat()
"""That of a model that declares no images."""


class Images(ImageFormat):
    """The images that a model expects; without a ``size`` they stay as they are stored.

    Every image, whatever its file, message or array, becomes uint8 (height, width, 3), or (height,
    width) if they are grey. Pixels are those of Pillow's ``convert`` and ``resize``.

    Args:
        size: (height, width) in pixels, or one number for both.
        mode: "RGB", or "L" for grey.
        fit: how an image of another size gets there. "crop" resizes until the shorter side fits,
            then cuts out the centre (torchvision's ``Resize``, ``CenterCrop``); "stretch" ignores
            the proportions; "pad" shows all of the image (Pillow's ``ImageOps.pad``).
        shorter_side: for "crop", the length of the shorter side before the cut: 256 is usual for
            224. Without it, as little as possible is cut off.
        fill: for "pad", the value of the pixels beside the image, or one for each channel.
        filter: Pillow's, by its name in lower case.
        mean, std: what ``self.images`` subtracts from pixels of 0 to 1, and then divides by: one
            number, or one for each channel.
        orientation: "stored", or "upright" to turn an image as its EXIF data say.
        scaled_decoding: lets the JPEG decoder halve a large image, once, twice or three times,
            before it is resized. Several times as fast for photographs; pixels differ a little.

    Raises:
        ValueError: a value is not one of these.
    """

    @overload
    def __get__(self, model: None, owner: type) -> Images: ...
    @overload
    def __get__(self, model: BaseModel, owner: type) -> ImageTensors: ...
    def __get__(self, model: BaseModel | None, owner: type) -> Images | ImageTensors:
        """Return the declaration from a class, and what makes tensors from a model."""
        return self if model is None else ImageTensors(self, model.device)


@dataclass(frozen=True)
class ImageTensors:
    """Makes tensors of the images in a DataFrame: what ``self.images`` of a model is."""

    declared: ImageFormat
    device: str

    def __call__(self, df: pd.DataFrame) -> torch.Tensor:
        """Return the images of ``df`` as float32 (n, channels, height, width) on ``device``.

        Values are pixels / 255, less ``mean``, divided by ``std``, as by torchvision's ``ToTensor``
        and ``Normalize``.

        Raises:
            ValueError: a cell is not an image, or has another shape than the others.
        """
        declared = self.declared
        cells = df[IMAGE].tolist()
        if declared.is_declared and not _are_all(cells, declared.shape):
            cells = [fit_array(np.asarray(cell), declared) for cell in cells]
        pixels = torch.from_numpy(_stack(cells)).to(self.device)
        pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
        values = pixels.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        values.div_(255)
        if declared.mean != 0.0:
            values.sub_(self._by_channel(declared.mean))
        if declared.std != 1.0:
            values.div_(self._by_channel(declared.std))
        return values

    def _by_channel(self, value: float | tuple[float, ...]) -> torch.Tensor:
        return torch.tensor(value, dtype=torch.float32, device=self.device).reshape(-1, 1, 1)


def stack_images(df: pd.DataFrame) -> np.ndarray:
    """Return the images of ``df`` as one array (n, height, width[, 3]), of uint8 if declared.

    The images of a block that was read from files are in one array already, which is returned:
    what is written to it is written to ``df``.

    Raises:
        ValueError: there are none, or they have several shapes.
    """
    return _stack(df[IMAGE].tolist())


def _stack(cells: Sequence[Any]) -> np.ndarray:
    images = cells
    if not cells:
        raise ValueError("no images to stack")
    if not _are_all(cells, getattr(cells[0], "shape", ())):
        images = list(map(np.asarray, cells))
        shapes = dict.fromkeys(image.shape for image in images)
        if len(shapes) > 1 or shapes == {(): None}:
            raise ValueError(
                f"images of shapes {', '.join(map(str, list(shapes)[:3]))}: declare "
                "images = Images(size=(height, width)) in the model"
            )
    whole = _find_whole(images) if images[0].nbytes >= _SMALL_BYTES else None
    if whole is not None:
        return whole
    # np.stack takes several times as long for small images.
    return np.concatenate(images).reshape(-1, *images[0].shape)


def _are_all(cells: Sequence[Any], shape: tuple[int, ...]) -> bool:
    """Say whether all cells are arrays of a shape."""
    try:
        shapes = {cell.shape for cell in cells}
    except AttributeError:
        return False
    return shapes == {shape} and bool(shape) and set(map(type, cells)) == {np.ndarray}


def _find_whole(images: Sequence[np.ndarray]) -> np.ndarray | None:
    """Return the array whose entries the images are, one after the other; None if there is none."""
    first = images[0]
    whole = first.base
    if not isinstance(whole, np.ndarray) or not whole.flags.c_contiguous:
        return None
    step, address = first.nbytes, _address(first)
    for position, image in enumerate(images):
        if (
            image.base is not whole
            or image.dtype != first.dtype
            or not image.flags.c_contiguous
            or _address(image) != address + position * step
        ):
            return None
    start = address - _address(whole)
    if whole.dtype.hasobject or start < 0 or start + step * len(images) > whole.nbytes:
        return None
    memory = whole.reshape(-1).view(np.uint8)[start : start + step * len(images)]
    return memory.view(first.dtype).reshape(len(images), *first.shape)


def _address(array: np.ndarray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
