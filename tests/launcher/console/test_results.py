"""Files of results as tables, pictures and reasons."""

from __future__ import annotations

import gzip
import io
import json
import struct

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from launcher.console.results import (
    MOST_ROWS,
    UnreadableError,
    draw_idx_image,
    draw_thumbnail,
    group_dead_letters,
    read_table,
)

ROWS = [{"key": f"f#{number}", "score": number / 3} for number in range(100)]


def test_jsonl_shows_the_first_rows_with_all_their_columns():
    lines = [*(json.dumps(row) for row in ROWS[:2]), '{"key": "x", "more": [1, {"a": null}]}', "7"]
    table = read_table("p.jsonl", "\n".join(lines).encode(), is_cut=False)
    assert table.columns == ("key", "score", "more", "value")
    assert table.rows[1] == ("f#1", "0.333333", "", "")
    assert table.rows[2] == ("x", "", '[1, {"a": null}]', "")
    assert table.rows[3][3] == "7"


def test_a_line_that_was_cut_is_left_out():
    content = "\n".join(json.dumps(row) for row in ROWS).encode()[:1000]
    table = read_table("p.jsonl", content, is_cut=True)
    assert 10 < len(table.rows) < MOST_ROWS
    with pytest.raises(UnreadableError, match="not JSON Lines"):
        read_table("p.jsonl", content[:50], is_cut=False)


def test_csv_is_read_with_its_quotes():
    table = read_table("p.csv", b'key,text\na,"x\ny, z"\nb,\n', is_cut=False)
    assert table.columns == ("key", "text")
    assert table.rows == (("a", "x\ny, z"), ("b", ""))


def test_parquet_is_read():
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), buffer)
    table = read_table("p.parquet", buffer.getvalue(), is_cut=False)
    assert table.columns == ("key", "score")
    assert len(table.rows) == MOST_ROWS
    for content, is_cut in ((buffer.getvalue()[:50], False), (buffer.getvalue(), True)):
        with pytest.raises(UnreadableError, match="Parquet"):
            read_table("p.parquet", content, is_cut=is_cut)


def test_an_empty_file_has_no_rows():
    for name in ("p.csv", "p.jsonl"):
        assert read_table(name, b"", is_cut=False).rows == ()


def test_dead_letters_are_grouped_by_reason_with_an_example():
    letters = [
        {"key": "1", "error": "ValueError: bad", "source": "gs://b/f"},
        {"key": "2", "error": "KeyError: 'x'", "source": {"message": 1}},
        {"key": "3", "error": "ValueError: bad", "source": "gs://b/f"},
    ]
    content = "\n".join([*map(json.dumps, letters), '{"key": "4", "err']).encode()
    first, second = group_dead_letters(content)
    assert (first.reason, first.count) == ("ValueError: bad", 2)
    assert first.example == {"key": "1", "source": "gs://b/f"}
    assert (second.reason, second.example["source"]) == ("KeyError: 'x'", '{"message": 1}')
    (counted, _) = group_dead_letters(content, [("ValueError: bad", 70), ("Other", 3)])
    assert (counted.count, counted.example["key"]) == (70, "1")


@pytest.mark.parametrize("is_gzipped", [False, True])
@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_an_image_of_an_idx_file_is_drawn(channels, mode, is_gzipped):
    sizes = (2, 4, 5) if channels == 1 else (2, 4, 5, 3)
    header = bytes([0, 0, 8, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes)
    content = header + bytes(20 * channels) + bytes([200]) * 20 * channels
    content = gzip.compress(content)[:-9] if is_gzipped else content  # its end may be cut off
    with Image.open(io.BytesIO(draw_idx_image(content, 1))) as image:
        assert image.format == "PNG"
        assert image.mode == mode
        assert image.getextrema() in ((200, 200), ((200, 200),) * 3)
        assert image.width > image.height > 80
    for number in (2, 10**9):
        with pytest.raises(UnreadableError, match="no such image"):
            draw_idx_image(content, number)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x1f\x8b", b"PK", b"\x00\x00\x08\x03", b"\x00\x00\x08\x03" + bytes(12)],
    ids=["nothing", "gzip", "other", "short", "empty"],
)
def test_what_is_not_an_idx_file_of_images_is_refused(content):
    with pytest.raises(UnreadableError):
        draw_idx_image(content, 0)


def test_an_image_file_is_drawn_anew():
    buffer = io.BytesIO()
    Image.new("RGBA", (900, 600), "red").save(buffer, "PNG", pnginfo=None)
    with Image.open(io.BytesIO(draw_thumbnail(buffer.getvalue()))) as image:
        assert image.format == "PNG"
        assert max(image.size) <= 224
    for content in (b"", b"<svg onload='alert(1)'/>", buffer.getvalue()[:60]):
        with pytest.raises(UnreadableError, match="not an image"):
            draw_thumbnail(content)
