"""Reads one input as the pipelines do, and checks the result."""

import pickle
from pathlib import Path

import orjson

from template.blocks import KEY, Block
from template.dead_letters import DeadLetter, describe
from template.file_versions import FileVersion
from template.messages import Message
from template.sources.csv import split_csv
from template.sources.idx import split_idx
from template.sources.images import split_images
from template.sources.json_objects import make_frames
from template.sources.jsonl import split_jsonl
from template.sources.messages import MessageSettings, decode_message
from template.sources.parquet import split_parquet
from template.sources.streams import ReadSettings, UnreadableError

BATCH_SIZE = 16
_SPLITTERS = {
    "csv": split_csv,
    "jsonl": split_jsonl,
    "parquet": split_parquet,
    "idx": split_idx,
    "images": lambda file, settings: split_images([file], settings),
}


def check_input(format_, data, number, folder):
    """Read an input, which is a file in ``folder`` unless it is a message.

    Raises:
        Exception: a source raised one, or its output is not consistent.
    """
    if format_ == "message":
        check_message(data, number)
    else:
        check_file(format_, data, number, folder)


def check_file(format_, data, number, folder):
    """Read a file, every third with a key column, every fifth with a passed-through column."""
    key_column = "id" if number % 3 == 0 and format_ in ("csv", "jsonl", "parquet") else None
    passed = {"idx": "image", "images": "image", "jsonl": "x", "csv": "age", "parquet": "n"}
    settings = ReadSettings(
        batch_size=BATCH_SIZE,
        key_column=key_column,
        passthrough_columns=(passed[format_],) if number % 5 == 0 else (),
    )
    path = Path(folder) / ("input.gz" if number % 11 == 0 else "input")
    path.write_bytes(data)
    file = FileVersion(path=str(path), size=len(data), generation="1")
    seen = set()
    for part in _read(format_, file, settings):
        if isinstance(part, DeadLetter):
            orjson.dumps(part.to_json())
        else:
            _check_block(part)
            rows = set(part.index.tolist())
            assert len(rows) == len(part), "a row twice in a block"
            assert format_ == "images" or not rows & seen, "a row in two blocks"
            seen |= rows


def _read(format_, file, settings):
    try:
        for split in _SPLITTERS[format_](file, settings):
            if isinstance(split, DeadLetter):
                yield split
                continue
            try:
                yield from split.read(settings)
            except UnreadableError as error:
                yield DeadLetter(key=None, error=describe(error), source=split.source)
    except UnreadableError as error:
        yield DeadLetter(key=None, error=describe(error), source=file.path)


def _check_block(block):
    assert 0 < len(block) <= BATCH_SIZE, f"a block of {len(block)} rows"
    assert len(block.frame) == len(block)
    for name, cells in block.beside.items():
        assert len(cells) == len(block), name
    assert all(isinstance(key, str) and key for key in block.beside[KEY]), "a key that is no text"
    assert len(block.take(0, 1)) == 1
    if block.origin is not None:
        for name, cells in block.origin().items():
            assert len(cells) == len(block), f"{name}: {len(cells)} cells when read again"
    copy = pickle.loads(pickle.dumps(block))
    assert isinstance(copy, Block)


def check_message(data, number):
    """Decode a message; for some, attributes and a parameter say what it holds."""
    types = (None, None, "application/json", "image/png", "application/octet-stream", "x/\xff")
    content_type = types[number % len(types)]
    settings = MessageSettings(
        message_format=("auto", "auto", "json", "image", "pixels")[number % 5],
        key_column="id" if number % 3 == 0 else None,
    )
    attributes = {"content_type": content_type} if content_type else {}
    message = Message(data, {**attributes, "id": "k"}, f"m{number}", 0.0)
    try:
        row = decode_message(message, settings)
    except ValueError as error:
        letter = DeadLetter(key=None, error=describe(error), source="message", message=message)
        orjson.dumps(letter.to_json())
        return
    assert isinstance(row.key, str)
    assert row.key
    for frame, _ in make_frames([row.columns, row.columns]):
        pickle.dumps(frame)
