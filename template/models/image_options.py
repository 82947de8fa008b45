"""Options for the images of a network, as fields of ``Images``."""

from __future__ import annotations

import re
from typing import Any

from template.model import Option
from template.models.file_model import FileModel
from template.needs.images import Images
from template.parameters import ParameterError

_SIZE = re.compile(r"([1-9][0-9]*)(?:x([1-9][0-9]*))?")


class ImageOptions(FileModel):
    """The declaration of images as options; the file may also state size and colours."""

    image_size = Option(
        "text",
        "Height and width of the model's images, as 224 or 224x320. Required if the file does "
        "not state them.",
        default=None,
        regex="[1-9][0-9]*(x[1-9][0-9]*)?",
    )
    image_mode = Option(
        "text", "Colours of the images.", default=None, choices={"RGB": "RGB", "L": "Grey"}
    )
    image_fit = Option(
        "text",
        "How an image of another size is fitted.",
        default="crop",
        choices={"crop": "Resize, crop the centre", "stretch": "Stretch", "pad": "Pad"},
    )
    image_shorter_side = Option(
        "integer",
        "Pixels of the shorter side before the centre is cropped.",
        default=None,
        minimum=1,
    )
    image_filter = Option(
        "text",
        "Filter of the resizing.",
        default="bilinear",
        choices=["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"],
    )
    image_mean = Option(
        "text", "Subtracted from pixels of 0 to 1: a number, or one for each channel.", default="0"
    )
    image_std = Option(
        "text", "The divisor after the subtraction: a number, or one for each channel.", default="1"
    )
    image_orientation = Option(
        "text",
        "Whether to rotate an image as its EXIF data specify.",
        default="stored",
        choices={"stored": "As stored", "upright": "Upright"},
    )
    image_scaled_decoding = Option(
        "boolean", "Let the JPEG decoder halve large images before they are resized.", default=False
    )
    image_resizer = Option(
        "text",
        "What resizes images. torch takes half the time for photographs in colour; some pixels "
        "differ from Pillow's, by 1 or 2 of 255.",
        default="pillow",
        choices={"pillow": "Pillow", "torch": "torch"},
    )

    def make_images(self, size: tuple[int, int] | None, channels: int | None) -> Images:
        """Return the declaration: the options', or else the file's.

        Raises:
            ParameterError: neither states the size, or they contradict each other.
        """
        given = _SIZE.fullmatch(self.image_size or "")
        if given:
            asked = (int(given[1]), int(given[2] or given[1]))
            if size is not None and size != asked:
                raise ParameterError(
                    f"option image_size {self.image_size!r}: the model takes {size[0]}x{size[1]}"
                )
            size = asked
        if size is None:
            raise ParameterError(
                "option image_size: missing, and the model's file does not state it"
            )
        mode = self.image_mode or ("L" if channels == 1 else "RGB")
        if channels is not None and channels != {"L": 1, "RGB": 3}[mode]:
            raise ParameterError(f"option image_mode {mode!r}: the model takes {channels} channels")
        fields: dict[str, Any] = {
            "mode": mode,
            "fit": self.image_fit,
            "shorter_side": self.image_shorter_side,
            "filter": self.image_filter,
            "mean": _read_numbers("image_mean", self.image_mean),
            "std": _read_numbers("image_std", self.image_std),
            "orientation": self.image_orientation,
            "scaled_decoding": self.image_scaled_decoding,
            "resizer": self.image_resizer,
        }
        try:
            return Images(size, **fields)
        except ParameterError:
            raise
        except ValueError as error:
            raise ParameterError(f"options of images: {error}") from error


def _read_numbers(name: str, text: str) -> float | tuple[float, ...]:
    try:
        numbers = tuple(map(float, text.split(",")))
    except ValueError:
        raise ParameterError(f"option {name} {text!r}: not numbers separated by commas") from None
    return numbers[0] if len(numbers) == 1 else numbers
