"""Malformed inputs made from well-formed ones; the same number always makes the same input."""

import gzip
import random
import struct
import zlib

from tests.fuzz.seeds import seeds

_TOKENS = [
    *(b'"', b'""', b"'", b",", b";", b"\t", b"|", b"\n", b"\r", b"\r\n", b"\0", b"\\", b"\\u0000"),
    *(
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xfe\xff",
        b"\x1f\x8b\x08",
        b"PAR1",
        b"PK\x03\x04",
        b"sep=,\n",
    ),
    *(b"{", b"}", b"[", b"]", b"[" * 300, b'{"a":' * 300, b"null", b"true", b"NaN", b"-Infinity"),
    *(
        b"1e999",
        b"-0",
        b"9" * 19,
        b"9" * 400,
        b"0.1",
        b"0x1F",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xc3\xa4",
    ),
    *(
        b"\nFROM ",
        b"${",
        b"$",
        b" \\\n",
        b"<<EOF\n",
        b"--from=",
        b"-r requirements.txt\n",
        b"(" * 300,
    ),
    *(b"\\ud800", b"data:;base64,", b"====", b"key", b"image", b"a" * 5000, b"," * 5000),
]
_LARGE = (0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**64 - 1)
_PNG = b"\x89PNG\r\n\x1a\n"


def make_input(seed, number, of=None):
    """Return format and bytes of an input, made from seeds by format (default: sources' seeds)."""
    rng = random.Random(f"{seed}-{number}")
    of = of or seeds()
    format_ = rng.choice(list(of))
    data = rng.choice(of[format_])
    is_gzip = data.startswith(b"\x1f\x8b")
    inside = is_gzip and rng.random() < 0.7
    if inside:
        data = gzip.decompress(data)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 8))):
        data = rng.choice(_MUTATIONS)(rng, data)
    if data.startswith(_PNG) and rng.random() < 0.7:
        data = _correct_checksums(data)
    if inside or rng.random() < 0.02:
        data = gzip.compress(data, mtime=0)
    return format_, data


def _flip(rng, data):
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 10))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite(rng, data):
    start = rng.randrange(len(data) + 1)
    return data[:start] + rng.randbytes(rng.choice((1, 4, 40))) + data[start + 4 :]


def _number(rng, data):
    format_ = rng.choice("<>") + rng.choice("BHIQ")
    size = struct.calcsize(format_)
    number = struct.pack(format_, rng.choice(_LARGE) % 2 ** (8 * size))
    start = rng.randrange(len(data) + 1)
    return data[:start] + number + data[start + size :]


def _token(rng, data):
    start = rng.randrange(len(data) + 1)
    stop = start + rng.choice((0, 0, 1, 3))
    return data[:start] + rng.choice(_TOKENS) + data[stop:]


def _cut(rng, data):
    return data[: rng.randrange(len(data) + 1)]


def _remove(rng, data):
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.choice((1, 8, 100, 1000)) :]


def _repeat(rng, data):
    start = rng.randrange(len(data) + 1)
    piece = data[start : start + rng.choice((1, 8, 100, 1000))]
    return data[:start] + piece * rng.choice((2, 2, 20)) + data[start + len(piece) :]


def _splice(rng, data):
    other = rng.choice(rng.choice(list(seeds().values())))
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _footer(rng, data):
    """Change a byte near the end, where Parquet and ZIP keep their directories."""
    start = max(0, len(data) - rng.randrange(1, 3000))
    return data[:start] + rng.randbytes(1) + data[start + 1 :]


_MUTATIONS = [_flip, _overwrite, _number, _token, _cut, _remove, _repeat, _splice, _footer, _flip]


def _correct_checksums(data):
    """Give the chunks of a PNG correct checksums, so that decoders continue."""
    parts = [data[: len(_PNG)]]
    start = len(_PNG)
    while start + 12 <= len(data):
        end = start + 8 + int.from_bytes(data[start : start + 4])
        if end + 4 > len(data):
            break
        parts += [data[start:end], struct.pack(">I", zlib.crc32(data[start + 4 : end]))]
        start = end + 4
    return b"".join([*parts, data[start:]])
