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

_COLUMNS = 10
_TILE = 112  # pixels a side, four for each of the image's
_CAPTION = 34
_SHOWN = 40


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One predicted image: its row in the IDX file, and what the model said of it."""

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
    images: Images, labels: Images | None, predictions: Sequence[Prediction]
) -> Image.Image:
    """Draw each predicted image with its class and score; a wrong class is red.

    Args:
        images: uint8 (count, height, width), indexed by ``Prediction.row``.
        labels: uint8 (count,), or None where they are not known.
        predictions: those to show, ten to a line.
    """
    lines = -(-len(predictions) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * _TILE, lines * (_TILE + _CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=13)
    for place, prediction in enumerate(predictions):
        left, top = place % _COLUMNS * _TILE, place // _COLUMNS * (_TILE + _CAPTION)
        tile = Image.fromarray(images[prediction.row])
        sheet.paste(tile.resize((_TILE - 4, _TILE - 4), Image.Resampling.NEAREST), (left + 2, top))
        wrong = labels is not None and labels[prediction.row] != prediction.class_index
        draw.multiline_text(
            (left + _TILE / 2, top + _TILE + _CAPTION / 2 - 4),
            f"{prediction.class_name}\n{prediction.score:.2f}",
            fill="#c00000" if wrong else "black",
            font=font,
            anchor="mm",
            align="center",
            spacing=2,
        )
    return sheet


def choose_shown(predictions: Sequence[Prediction], labels: Images | None) -> list[Prediction]:
    """Choose what the contact sheet shows: the first rows, and up to five wrong ones among them."""
    if labels is None:
        return list(predictions[:_SHOWN])
    wrong = [each for each in predictions if labels[each.row] != each.class_index]
    kept = wrong[:5]
    right = [each for each in predictions if each not in wrong][: _SHOWN - len(kept)]
    return sorted(right + kept, key=lambda prediction: prediction.row)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the report and write the contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", required=True, help="the job's output prefix")
    parser.add_argument("--images", required=True, help="the IDX file that the job read")
    parser.add_argument("--labels", help="IDX file of the right classes")
    parser.add_argument("--sheet", required=True, type=Path, help="PNG file to write")
    arguments = parser.parse_args(argv)

    FileSystems.set_options(PipelineOptions([]))
    predictions = read_predictions(arguments.predictions)
    images = read_idx(arguments.images)
    labels = read_idx(arguments.labels) if arguments.labels else None

    if labels is not None and predictions:
        right = sum(labels[each.row] == each.class_index for each in predictions)
        print(f"accuracy       {right / len(predictions):.3f} ({right} of {len(predictions)})")
    for each in predictions[:5]:
        print(f"  row {each.row}: {each.class_name} ({each.score:.2f})")
    shown = choose_shown(predictions, labels)
    if shown:
        arguments.sheet.parent.mkdir(parents=True, exist_ok=True)
        draw_contact_sheet(images, labels, shown).save(arguments.sheet)
        print(f"contact sheet  {arguments.sheet}")


if __name__ == "__main__":
    main()
