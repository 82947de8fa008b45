"""Draws small garment images in the ten classes and the IDX format of Fashion-MNIST.

The drawings are silhouettes of random size, position, tilt, cloth and noise: easy for a small
network to learn, but not so easy that it is always right.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

SIDE = 28
_CANVAS = 84  # drawn at three times the size, then reduced: smooth edges

Images = npt.NDArray[np.uint8]
_Point = tuple[float, float]


class _Pen:
    """Draws in coordinates from 0 to 1, mirrored about the vertical axis on request."""

    def __init__(self, cloth: int, rng: np.random.Generator) -> None:
        self._image = Image.new("L", (_CANVAS, _CANVAS))
        self._draw = ImageDraw.Draw(self._image)
        self.cloth = cloth
        self.shade = int(cloth * rng.uniform(0.25, 0.5))
        self._rng = rng

    def between(self, low: float, high: float) -> float:
        return float(self._rng.uniform(low, high))

    def shape(self, points: list[_Point], fill: int | None = None, *, mirror: bool = False) -> None:
        fill = self.cloth if fill is None else fill
        self._draw.polygon([(x * _CANVAS, y * _CANVAS) for x, y in points], fill=fill)
        if mirror:
            self.shape([(1 - x, y) for x, y in points], fill)

    def line(self, points: list[_Point], fill: int, width: float = 0.03) -> None:
        scaled = [(x * _CANVAS, y * _CANVAS) for x, y in points]
        self._draw.line(scaled, fill=fill, width=max(1, round(width * _CANVAS)), joint="curve")

    def finish(self) -> Images:
        """Tilt, shift and scale the drawing, reduce it to 28 x 28 and add noise."""
        angle = self.between(-10, 10)
        shift = (round(self.between(-9, 9)), round(self.between(-6, 6)))
        image = self._image.rotate(angle, Image.Resampling.BILINEAR, translate=shift)
        image = image.filter(ImageFilter.BoxBlur(self.between(0, 1.5)))
        pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
        noise = self._rng.normal(0, 40, pixels.shape) * (pixels > 8)
        return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def _top(pen: _Pen, *, sleeve: float, hem: float, width: float = 0.19) -> None:
    """A body with two sleeves; ``sleeve`` is their length, ``hem`` the body's lower end."""
    left = 0.5 - width
    pen.shape([(left, 0.16), (0.42, 0.12), (0.58, 0.12), (1 - left, 0.16), (1 - left, hem),
               (left, hem)])  # fmt: skip
    cuff = 0.16 + sleeve
    spread = left - 0.04 - 0.28 * sleeve
    pen.shape([(left + 0.02, 0.15), (left + 0.02, 0.34), (spread + 0.12, cuff + 0.03),
               (spread, cuff)], mirror=True)  # fmt: skip
    pen.shape([(0.43, 0.11), (0.5, 0.11 + pen.between(0.04, 0.08)), (0.57, 0.11)], 0)


def _t_shirt(pen: _Pen) -> None:
    _top(pen, sleeve=pen.between(0.1, 0.22), hem=pen.between(0.76, 0.86))


def _trouser(pen: _Pen) -> None:
    waist, hem = pen.between(0.14, 0.18), pen.between(0.02, 0.06)
    pen.shape([(0.5 - waist, 0.08), (0.5, 0.08), (0.5, 0.3), (0.5 - hem, 0.93), (0.36 - hem, 0.93)],
              mirror=True)  # fmt: skip


def _pullover(pen: _Pen) -> None:
    hem = pen.between(0.76, 0.84)
    _top(pen, sleeve=pen.between(0.5, 0.62), hem=hem)
    pen.line([(0.31, hem - 0.04), (0.69, hem - 0.04)], pen.shade)
    pen.line([(0.42, 0.15), (0.5, 0.19), (0.58, 0.15)], pen.shade)


def _dress(pen: _Pen) -> None:
    waist, skirt = pen.between(0.09, 0.12), pen.between(0.17, 0.26)
    pen.shape([(0.38, 0.06), (0.43, 0.06), (0.5, 0.18), (0.5, 0.94), (0.5 - skirt, 0.94),
               (0.5 - waist, 0.42), (0.36, 0.24)], mirror=True)  # fmt: skip


def _coat(pen: _Pen) -> None:
    hem = pen.between(0.88, 0.95)
    _top(pen, sleeve=pen.between(0.5, 0.64), hem=hem, width=0.21)
    pen.line([(0.5, 0.2), (0.5, hem)], pen.shade, 0.04)
    pen.line([(0.42, 0.13), (0.5, 0.36), (0.58, 0.13)], pen.shade, 0.03)


def _sandal(pen: _Pen) -> None:
    heel = pen.between(0.56, 0.68)
    pen.line([(0.06, 0.72), (0.45, 0.7), (0.93, heel)], pen.cloth, 0.06)
    pen.line([(0.93, heel), (0.93, 0.76)], pen.cloth, 0.05)
    for _ in range(3):
        start = pen.between(0.1, 0.8)
        pen.line([(start, 0.7), (start + pen.between(0.02, 0.16), pen.between(0.42, 0.5)),
                  (start + 0.2, 0.68)], pen.cloth, 0.035)  # fmt: skip


def _shirt(pen: _Pen) -> None:
    hem = pen.between(0.8, 0.88)
    _top(pen, sleeve=pen.between(0.42, 0.56), hem=hem, width=0.17)
    pen.shape([(0.4, 0.1), (0.5, 0.16), (0.44, 0.24)], pen.shade, mirror=True)
    for button in np.arange(0.3, hem - 0.05, 0.11).tolist():
        pen.line([(0.485, button), (0.515, button)], pen.shade, 0.035)


def _sneaker(pen: _Pen) -> None:
    top = pen.between(0.4, 0.46)
    pen.shape([(0.06, 0.68), (0.08, 0.56), (0.34, 0.54), (0.58, top), (0.92, top - 0.02),
               (0.95, 0.68)])  # fmt: skip
    pen.shape([(0.05, 0.67), (0.95, 0.67), (0.94, 0.74), (0.06, 0.74)], pen.shade)
    pen.line([(0.4, 0.56), (0.46, 0.5)], pen.shade)


def _bag(pen: _Pen) -> None:
    top, side = pen.between(0.38, 0.46), pen.between(0.08, 0.18)
    pen.shape([(side, top), (1 - side, top), (1 - side + 0.04, 0.88), (side - 0.04, 0.88)])
    handle = pen.between(0.12, 0.26)
    pen.line([(0.3, top), (0.34, handle), (0.66, handle), (0.7, top)], pen.cloth, 0.045)
    pen.line([(side, top + 0.1), (1 - side, top + 0.1)], pen.shade)


def _ankle_boot(pen: _Pen) -> None:
    top = pen.between(0.1, 0.22)
    pen.shape([(0.06, 0.8), (0.08, 0.66), (0.36, 0.56), (0.48, top), (0.9, top), (0.94, 0.8)])
    pen.shape([(0.05, 0.79), (0.95, 0.79), (0.95, pen.between(0.85, 0.92)), (0.74, 0.88),
               (0.7, 0.84), (0.05, 0.84)], pen.shade)  # fmt: skip


# In the order of template.models.fashion_mnist.CLASSES: the index is the label.
_DRAWINGS: tuple[Callable[[_Pen], None], ...] = (
    _t_shirt, _trouser, _pullover, _dress, _coat, _sandal, _shirt, _sneaker, _bag, _ankle_boot,
)  # fmt: skip


def draw_garments(count: int, *, seed: int) -> tuple[Images, Images]:
    """Draw ``count`` garments of random classes.

    Returns:
        images (count, 28, 28) and labels (count,), both uint8. Equal seeds give equal images.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(_DRAWINGS), count).astype(np.uint8)
    images = np.empty((count, SIDE, SIDE), np.uint8)
    for row, label in enumerate(labels):
        pen = _Pen(int(rng.integers(110, 256)), rng)
        _DRAWINGS[label](pen)
        images[row] = pen.finish()
    return images, labels


def write_idx(path: Path, array: Images) -> None:
    """Write an array of bytes in IDX format, gzipped when the name ends in ``.gz``.

    Format: http://yann.lecun.com/exdb/mnist/ ; the gzip header carries no time, so equal arrays
    give equal files.
    """
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = header + array.tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
