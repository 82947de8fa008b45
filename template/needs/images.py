"""The images that a model expects, and their conversion to one array or tensor for ``predict``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, overload

import numpy as np
import pandas as pd

from template.blocks import IMAGE
from template.needs.fitting import fit_array
from template.needs.image_format import ImageFormat
from template.parameter_records import did_you_mean
from template.tensors import to_device

if TYPE_CHECKING:
    import torch

_SMALL_BYTES = 4096


class _Model(Protocol):
    """The needed part of a model."""

    @property
    def device(self) -> str: ...


class Images(ImageFormat):
    """The images that a model expects; without a ``size`` they stay as they are stored.

    Every image, whatever its file, message or array, becomes uint8 (height, width, 3), or (height,
    width) if they are grey. By default, pixels are equal to those of Pillow's ``convert`` and
    ``resize``.

    Args:
        size: (height, width) in pixels, or one number for both.
        mode: "RGB", or "L" for grey.
        fit: how an image of another size is fitted. "crop" resizes until the shorter side fits,
            then cuts out the centre (torchvision's ``Resize``, ``CenterCrop``); "stretch" ignores
            the proportions; "pad" shows all of the image (Pillow's ``ImageOps.pad``).
        shorter_side: for "crop", the length of the shorter side before cropping; 256 is usual for
            224. Without it, as little as possible is cropped.
        fill: for "pad", the value of the pixels around the image, or one for each channel.
        filter: Pillow's, by its name in lower case.
        mean, std: what ``self.images`` subtracts from pixels of 0 to 1, and then divides by: one
            number, or one for each channel.
        orientation: "stored", or "upright" to rotate an image as its EXIF data specify.
        scaled_decoding: lets the JPEG decoder halve a large image, once, twice or three times,
            before it is resized. Several times as fast for large photographs; pixels then differ
            from Pillow's by about 1 of 255 on average.
        resizer: "torch" resizes as torchvision's ``Resize`` does with tensors: about twice as fast
            for photographs in colour. Some pixels differ from Pillow's, by 1 or 2 of 255; by more
            in an image over a hundred times as tall as wide. The filter is "bilinear" or "bicubic".

    Raises:
        ValueError: a value is not one of these.
    """

    @overload
    def __get__(self, model: None, owner: type) -> Images: ...
    @overload
    def __get__(self, model: _Model, owner: type) -> ImageTensors: ...
    def __get__(self, model: _Model | None, owner: type) -> Images | ImageTensors:
        """Return the declaration from a class, and the maker of tensors from a model."""
        return self if model is None else ImageTensors(self, model.device)


@dataclass(frozen=True)
class ImageTensors:
    """Makes tensors of the images in a DataFrame: a model's ``self.images``."""

    declared: ImageFormat
    device: str

    def __call__(self, df: pd.DataFrame) -> torch.Tensor:
        """Return the images of ``df`` as float32 (n, channels, height, width) on ``device``.

        Values are pixels / 255, minus ``mean``, divided by ``std``, as in torchvision's
        ``ToTensor`` and ``Normalize``.

        Raises:
            ValueError: there is no column of images, a cell is not one, or the shapes differ.
        """
        import torch

        declared = self.declared
        cells = _list_images(df)
        if declared.is_declared and not _are_all(cells, declared.shape):
            _check_decoded(cells)
            cells = [fit_array(np.asarray(cell), declared) for cell in cells]
        pixels = to_device(torch.from_numpy(_stack(cells)), self.device)
        pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
        values = pixels.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        values.div_(255)
        if declared.mean != 0.0:
            values.sub_(self._by_channel(declared.mean))
        if declared.std != 1.0:
            values.div_(self._by_channel(declared.std))
        return values

    def _by_channel(self, value: float | tuple[float, ...]) -> torch.Tensor:
        import torch

        return torch.tensor(value, dtype=torch.float32, device=self.device).reshape(-1, 1, 1)


def stack_images(df: pd.DataFrame) -> np.ndarray:
    """Return the images of ``df`` as one array (n, height, width[, 3]), of uint8 if declared.

    The images of a block from files are already in one array, which is returned: writing to it
    writes to ``df``.

    Raises:
        ValueError: there are none, or they have several shapes.
    """
    return _stack(_list_images(df))


def _list_images(df: pd.DataFrame) -> list[Any]:
    if IMAGE not in df:
        raise ValueError(
            f"no column {IMAGE!r}, which the model needs{did_you_mean(IMAGE, map(str, df))}; "
            f"its columns: {', '.join(map(str, df)) or 'none'}"
        )
    cells: list[Any] = df[IMAGE].tolist()
    return cells


def _stack(cells: Sequence[Any]) -> np.ndarray:
    images = cells
    if not cells:
        raise ValueError("no images to stack")
    if not _are_all(cells, getattr(cells[0], "shape", ())):
        _check_decoded(cells)
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
    joined: np.ndarray = np.concatenate(images)
    return joined.reshape(-1, *images[0].shape)


def _check_decoded(cells: Sequence[Any]) -> None:
    found = next((cell for cell in cells if isinstance(cell, str | bytes | dict)), None)
    if found is not None:
        raise ValueError(
            f"a cell of column {IMAGE!r} is a {type(found).__name__}, not an array of pixels; to "
            f"have images decoded, declare columns = [Column({IMAGE!r}, 'image'), ...] in the model"
        )


def _are_all(cells: Sequence[Any], shape: tuple[int, ...]) -> bool:
    """Return whether all cells are arrays with this shape."""
    try:
        shapes = {cell.shape for cell in cells}
    except AttributeError:
        return False
    return shapes == {shape} and bool(shape) and set(map(type, cells)) == {np.ndarray}


def _find_whole(images: Sequence[np.ndarray]) -> np.ndarray | None:
    """Return the array whose entries are the images in order; None if there is none."""
    first = images[0]
    whole = first.base
    if not isinstance(whole, np.ndarray) or not whole.flags.c_contiguous:
        return None
    step, address = first.nbytes, _address(first)
    for position, image in enumerate(images):
        if (
            image.base is not whole
            or image.dtype != first.dtype
            or image.flags.writeable != whole.flags.writeable
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
