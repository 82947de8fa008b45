"""Well-formed inputs of every format, used to make malformed ones."""

import base64
import datetime
import functools
import gzip
import io
import json
import struct
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

PIXELS = np.arange(12 * 8 * 3, dtype=np.uint8).reshape(12, 8, 3)


@functools.cache
def seeds():
    """Return inputs by format: several of each."""
    return {
        "csv": [*_csv(), gzip.compress(_csv()[0], mtime=0)],
        "jsonl": [*_jsonl(), gzip.compress(_jsonl()[0], mtime=0)],
        "parquet": _parquet(),
        "idx": [*_idx(), gzip.compress(_idx()[0], mtime=0)],
        "images": _images(),
        "message": _messages(),
    }


def _csv():
    return [
        b"id,age,name\n" + b"".join(b"%d,%d.5,name %d\n" % (n, n, n) for n in range(40)),
        b'\xef\xbb\xbfid;text\n1;"a ""quoted""\nfield"\n2;\n3;NaN\n',
        b"sep=|\na|b|a\n1|2|x\n00501|1e400|-\n",
        "größe,ort\r\n1,Köln\r\n2,\r\n".encode(),
        b"n,big\n" + b"\n".join(b"%d,%d" % (n, 10**n) for n in range(25)) + b"\n",
    ]


def _jsonl():
    nested = {"a": [[1, None], [2.5]], "b": {"c": {"d": "\u00e4"}}, "e": True, "f": None}
    return [
        b"".join(b'{"id":%d,"x":%d.25,"s":"text"}\n' % (n, n) for n in range(40)),
        b"\xef\xbb\xbf" + json.dumps(nested).encode() + b"\n\n" + b'{"a":[]}\r\n',
        b'{"n":123456789012345678901234567890}\n{"n":null}\n{"n":1.5}\n{"m":-0}\n',
        b'{"deep":' + b"[" * 200 + b"]" * 200 + b"}\n" + b'{"a":1,"a":2}\n',
    ]


def _parquet():
    n = 40
    when = datetime.datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001
    table = pa.table(
        {
            "id": [f"k{row}" for row in range(n)],
            "n": [None if row % 7 == 0 else row for row in range(n)],
            "x": np.linspace(0, 1, n),
            "day": [when.date()] * n,
            "at": pa.array([when] * n, pa.timestamp("us", "UTC")),
            "time": pa.array([1234567] * n, pa.int64()).view(pa.time64("ns")),
            "list": [[row, None] for row in range(n)],
            "struct": [{"a": row, "b": [f"{row}"]} for row in range(n)],
            "decimal": [Decimal(row) for row in range(n)],
            "flag": [row % 2 == 0 for row in range(n)],
            "kind": pa.array(["a", "b"] * (n // 2)).dictionary_encode(),
            "bytes": [bytes([row]) for row in range(n)],
        }
    )
    found = []
    for options in (
        {"compression": "none"},
        {"compression": "snappy", "row_group_size": 7, "write_page_checksum": True},
        {"compression": "zstd", "data_page_version": "2.0", "row_group_size": 15},
        {"compression": "gzip", "use_dictionary": False, "data_page_size": 50},
        {"compression": "none", "use_deprecated_int96_timestamps": True, "store_schema": False},
        {"compression": "none", "use_dictionary": False, "column_encoding": {"x": "PLAIN"}},
    ):
        stream = io.BytesIO()
        pq.write_table(table, stream, **options)
        found.append(stream.getvalue())
    stream = io.BytesIO()
    columns = {"n": "DELTA_BINARY_PACKED", "s": "DELTA_BYTE_ARRAY", "f": "BYTE_STREAM_SPLIT"}
    small = pa.table({"n": range(n), "s": [f"{row}" for row in range(n)], "f": np.ones(n)})
    pq.write_table(small, stream, use_dictionary=False, column_encoding=columns)
    return [*found, stream.getvalue()]


def _idx():
    def write(code, array):
        header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        return header + array.tobytes()

    return [
        write(0x08, PIXELS[..., 0].reshape(3, 4, 8)),
        write(0x0D, np.ones((5, 2, 2), dtype=">f4")),
        write(0x0E, np.ones((2, 3), dtype=">f8")),
        write(0x08, np.arange(5, dtype=np.uint8)),
    ]


def _images():
    colour = Image.fromarray(PIXELS)
    deep = Image.fromarray(np.arange(96, dtype=np.uint16).reshape(12, 8) * 600)
    images = [
        (colour, "PNG", {}),
        (colour.convert("P"), "PNG", {"transparency": 3}),
        (deep, "PNG", {}),
        (colour, "JPEG", {}),
        (colour, "JPEG", {"progressive": True}),
        (colour.convert("CMYK"), "JPEG", {}),
        (colour, "WEBP", {}),
        (colour, "WEBP", {"lossless": True}),
        (colour, "BMP", {}),
        (colour.convert("1"), "BMP", {}),
        (colour.convert("P"), "GIF", {"save_all": True, "append_images": [colour.rotate(90)]}),
        (colour, "TIFF", {}),
        (colour, "TIFF", {"compression": "tiff_lzw"}),
        (colour, "TIFF", {"compression": "tiff_deflate"}),
        (colour.convert("1"), "TIFF", {"compression": "group4"}),
        (deep, "TIFF", {}),
        (colour.convert("L").convert("F"), "TIFF", {}),
        (colour.convert("L").convert("I"), "TIFF", {}),
    ]
    found = []
    for image, format_, options in images:
        stream = io.BytesIO()
        image.save(stream, format_, **options)
        found.append(stream.getvalue())
    return [*found, gzip.compress(found[0], mtime=0)]


def _messages():
    image = base64.b64encode(_images()[0]).decode()
    pixels = PIXELS[..., 0].tolist()
    return [
        *(json.dumps(record).encode() for record in _records(image, pixels)),
        *_images()[:12],
        PIXELS.tobytes(),
        b"",
    ]


def _records(image, pixels):
    return [
        {"id": 7, "age": 3.5, "name": "x"},
        {"id": 7, "image": image},
        {"id": 7, "image": "data:image/png;base64," + image},
        {"id": "a", "image": pixels, "big": 2**70},
        {"id": None, "nested": [[{"a": None}, 2**60], []]},
    ]
