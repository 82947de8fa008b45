"""Bodies that are compressed with gzip, as Google's Java client sends them."""

import gzip
import hashlib

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from launcher.emulator.gzip_requests import GzipRequests

LARGE = bytes(range(256)) * 20_000  # 5 MB, which gzip compresses to 20 kB


async def _describe(request: Request) -> PlainTextResponse:
    digest, largest = hashlib.sha256(), 0
    async for piece in request.stream():
        digest.update(piece)
        largest = max(largest, len(piece))
    assert largest <= 1 << 20, "a piece that could fill the memory"
    assert "content-encoding" not in request.headers
    return PlainTextResponse(digest.hexdigest())


@pytest.fixture
def http() -> TestClient:
    app = Starlette(routes=[Route("/", _describe, methods=["POST"])])
    return TestClient(GzipRequests(app))


@pytest.mark.parametrize("plain", [b"", b"{}", LARGE, bytes(3 << 20)], ids=len)
def test_a_compressed_body_is_read_as_what_it_is(http: TestClient, plain: bytes) -> None:
    headers = {"Content-Encoding": "gzip"}
    answer = http.post("/", content=gzip.compress(plain), headers=headers)
    assert answer.text == hashlib.sha256(plain).hexdigest()


@pytest.mark.parametrize(
    "body", [b"", b"{}", gzip.compress(b"{}")[:-5], gzip.compress(LARGE)[:9000]], ids=len
)
def test_a_body_that_is_not_gzip_is_a_bad_request(http: TestClient, body: bytes) -> None:
    answer = http.post("/", content=body, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, "not gzip" in answer.text) == (400, True)
