"""Odd client connections get answers or end, and never keep other clients from connecting."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from launcher.emulator.connections import Connection
from tests.servers import serve_app

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
PART = b"GET / HTTP/1.1\r\nHo"


class Impatient(Connection):
    head_sec = 0.3
    most = 20


@pytest.fixture
def port() -> Iterator[int]:
    async def answer(request: Request) -> Response:
        body = await request.body()
        await run_in_threadpool(time.sleep, 0.1)
        return PlainTextResponse(b"got " + body)

    app = Starlette(routes=[Route("/", answer, methods=["GET", "POST"])])
    with serve_app(app, http=Impatient, log_config=None) as port:
        yield port


def connect(port: int, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(data)
    return connection


def read_all(connection: socket.socket) -> bytes:
    """Return everything that arrives until the other side closes."""
    content = b""
    while piece := connection.recv(65536):
        content += piece
    return content


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (GET, b"got "),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", b"got abc"),
        (GET * 3, b"got "),
    ],
    ids=["GET", "POST", "three"],
)
def test_a_client_that_has_ended_its_side_is_answered(
    port: int, request_: bytes, body: bytes
) -> None:
    with connect(port, request_) as connection:
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)
    assert answer.count(b"HTTP/1.1 200 OK") == request_.count(b"HTTP/1.1")
    assert answer.endswith(body)


def test_a_request_that_ends_in_its_body_is_not_answered(port: int) -> None:
    cut = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"
    with connect(port, cut) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection) == b""


@pytest.mark.parametrize("data", [b"", PART], ids=["nothing", "half a head"])
def test_a_connection_without_a_request_ends_in_time(port: int, data: bytes) -> None:
    with connect(port, data) as connection:
        assert read_all(connection) == b""


def test_half_a_second_request_ends_in_time_too(port: int) -> None:
    with connect(port, GET) as connection:
        assert b"200 OK" in connection.recv(65536)
        connection.sendall(PART)
        assert b"HTTP" not in read_all(connection)


def test_an_answer_may_take_longer_than_a_head(port: int) -> None:
    with connect(port, PART) as connection:
        time.sleep(0.25)
        connection.sendall(GET.removeprefix(PART))
        assert b"200 OK" in connection.recv(65536)


def test_silent_connections_make_room_for_others(port: int) -> None:
    slow = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(port, slow)) for _ in range(60)]
        assert b"200 OK" in stack.enter_context(connect(port, GET)).recv(65536)
        closed, _, _ = select.select(silent, [], [], 0)
        assert 40 <= len(closed) <= 42


def test_the_limit_of_open_files_is_raised() -> None:
    code = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from launcher.emulator.connections import allow_many_files
allow_many_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    soft, hard = map(int, done.stdout.split())
    assert soft == 8192 or soft == hard
