"""Shows what a demo job predicted: accuracy, some rows, and a contact sheet of the images.

``python -m template.demo.report --predictions PREFIX --images IDX [--labels IDX] --sheet PNG``;
every path but the sheet's may be ``gs://``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from PIL import Image, ImageDraw, ImageFont

from template.demo.garments import Images
from template.models.fashion_mnist import CLASSES

_COLUMNS = 10
_TILE = 112  # pixels a side, four for each of the image's
_CAPTION = 50
_TITLE = 56
_SHOWN = 40
_MOST_WRONG = 5
_WRONG = "#c00000"


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One predicted image: its row in the IDX file, and its prediction."""

    row: int
    class_index: int
    class_name: str
    score: float


def read_idx(path: str) -> Images:
    """Read a whole IDX file of bytes, gzipped or not, local or ``gs://``, in its own shape."""
    with FileSystems.open(path) as file:  # opens by file name: .gz is decompressed
        content = file.read()
    rank = content[3]
    shape = np.frombuffer(content, ">u4", count=rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def read_predictions(prefix: str) -> list[Prediction]:
    """Read the JSON Lines files that a batch job wrote for IDX images, ordered by row."""
    return sorted(_parse_predictions(prefix), key=lambda prediction: prediction.row)


def _parse_predictions(prefix: str) -> Iterator[Prediction]:
    for found in FileSystems.match([f"{prefix}-*-of-*.jsonl"])[0].metadata_list:
        if found.path.startswith(f"{prefix}-errors"):
            continue
        with FileSystems.open(found.path) as file:
            for line in file.read().splitlines():
                record = orjson.loads(line)
                row = int(record.pop("key").rpartition("#")[2])
                yield Prediction(row=row, **record)


def draw_contact_sheet(
    images: Images, labels: Images | None, predictions: Sequence[Prediction], title: str
) -> Image.Image:
    """Draw each predicted image with its class and score; a wrong class is red, with the true one.

    Args:
        images: uint8 (count, height, width), indexed by ``Prediction.row``.
        labels: uint8 (count,), the true class of each row, or None if unknown.
        predictions: those to show, ten to a line.
        title: one line above them.
    """
    lines = -(-len(predictions) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * _TILE, _TITLE + lines * (_TILE + _CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=13)
    draw.text((6, 6), title, fill="black", font=ImageFont.load_default(size=18))
    draw.text((6, 32), "predicted class and its softmax score", fill="black", font=font)
    if labels is not None:
        wrong = count_wrong(predictions, labels)
        draw.text(
            (260, 32),
            f"red: wrong, with the true class below; {wrong} mistakes are shown on purpose",
            fill=_WRONG,
            font=font,
        )
    for place, prediction in enumerate(predictions):
        left = place % _COLUMNS * _TILE
        top = _TITLE + place // _COLUMNS * (_TILE + _CAPTION)
        tile = Image.fromarray(images[prediction.row])
        sheet.paste(tile.resize((_TILE - 4, _TILE - 4), Image.Resampling.NEAREST), (left + 2, top))
        true_class = None if labels is None else int(labels[prediction.row])
        caption = f"{prediction.class_name}\n{prediction.score:.2f}"
        is_wrong = true_class is not None and true_class != prediction.class_index
        if is_wrong:
            assert true_class is not None
            caption += f"\ntrue: {CLASSES[true_class]}"
        draw.multiline_text(
            (left + _TILE / 2, top + _TILE),
            caption,
            fill=_WRONG if is_wrong else "black",
            font=font,
            anchor="ma",
            align="center",
            spacing=2,
        )
    return sheet


def count_wrong(predictions: Sequence[Prediction], labels: Images) -> int:
    """Return the number of wrong predictions."""
    return sum(labels[each.row] != each.class_index for each in predictions)


def choose_shown(predictions: Sequence[Prediction], labels: Images | None) -> list[Prediction]:
    """Choose the rows of the contact sheet: the first ones, with up to five wrong ones."""
    if labels is None:
        return list(predictions[:_SHOWN])
    wrong = [each for each in predictions if labels[each.row] != each.class_index]
    kept = wrong[:_MOST_WRONG]
    right = [each for each in predictions if each not in wrong][: _SHOWN - len(kept)]
    return sorted(right + kept, key=lambda prediction: prediction.row)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the report and write the contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", required=True, help="the job's output prefix")
    parser.add_argument("--images", required=True, help="the IDX file that the job read")
    parser.add_argument("--labels", help="IDX file of the true classes")
    parser.add_argument("--sheet", required=True, type=Path, help="PNG file to write")
    arguments = parser.parse_args(argv)

    FileSystems.set_options(PipelineOptions([]))
    predictions = read_predictions(arguments.predictions)
    images = read_idx(arguments.images)
    labels = read_idx(arguments.labels) if arguments.labels else None

    title = f"{len(predictions):,} images"
    if labels is not None and predictions:
        right = len(predictions) - count_wrong(predictions, labels)
        accuracy = f"{right / len(predictions):.3f} ({right} of {len(predictions)})"
        title = f"{title}, accuracy {accuracy}"
        print(f"accuracy       {accuracy}")
    for each in predictions[:5]:
        print(f"  row {each.row}: {each.class_name} ({each.score:.2f})")
    shown = choose_shown(predictions, labels)
    if shown:
        arguments.sheet.parent.mkdir(parents=True, exist_ok=True)
        draw_contact_sheet(images, labels, shown, title).save(arguments.sheet)
        print(f"contact sheet  {arguments.sheet}")


if __name__ == "__main__":
    main()
