"""Multipart bodies, as several clients write them, however they are split in transit."""

import pytest

from launcher.emulator.storage.errors import InvalidRequest
from launcher.emulator.storage.multipart import MultipartParser

MEDIA = b"\r\n--not the boundary\r\n\x00\n--B\xff\r"


def body(newline: bytes, media: bytes = MEDIA) -> bytes:
    return newline.join(
        [
            b"--BOUND",
            b"Content-Type: application/json",
            b"",
            b'{"name": "a"}',
            b"--BOUND",
            b"Content-Type: text/plain",
            b"Content-Transfer-Encoding: binary",
            b"",
            media,
            b"--BOUND--",
            b"",
        ]
    )


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize("boundary", ["BOUND", '"BOUND"', "'BOUND'"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_parts(newline, boundary, size):
    written: list[bytes] = []
    parser = MultipartParser(f"multipart/related; boundary={boundary}", written.append)
    whole = body(newline)
    for start in range(0, len(whole), size):
        parser.feed(whole[start : start + size])
    parser.finish()
    assert b"".join(written) == MEDIA
    assert parser.resource == {"name": "a"}
    assert parser.media_type == "text/plain"


def test_empty_media():
    written: list[bytes] = []
    parser = MultipartParser("multipart/related; boundary=BOUND", written.append)
    parser.feed(body(b"\r\n", b""))
    parser.finish()
    assert written == []


@pytest.mark.parametrize("cut", [3, 40, 120, -10])
def test_a_cut_body_is_refused(cut):
    parser = MultipartParser("multipart/related; boundary=BOUND", lambda data: None)
    parser.feed(body(b"\r\n")[:cut])
    with pytest.raises(InvalidRequest, match="closing boundary"):
        parser.finish()


def test_no_boundary_is_refused():
    with pytest.raises(InvalidRequest, match="boundary"):
        MultipartParser("multipart/related", lambda data: None)
