"""Resumable uploads over HTTP: chunks, status queries, interruptions, completion."""

import http.client
import os
import random
import socket
import time
from urllib.parse import urlsplit

import pytest
import requests

from launcher.emulator.storage.errors import NotFound
from launcher.emulator.storage.records import ObjectRef, ObjectSettings
from launcher.emulator.storage.resumable import UploadSessions
from launcher.emulator.storage.uploads import UploadPlan

KIB = 1024
CHUNK = 256 * KIB
DATA = random.Random(1).randbytes(2 * CHUNK + 1000)  # the same in every test process


@pytest.fixture
def upload_url(endpoint, bucket):
    return start(endpoint, bucket.name)


def start(endpoint: str, bucket: str, **query: str) -> str:
    response = requests.post(
        f"{endpoint}/resumable/upload/storage/v1/b/{bucket}/o",
        params={"uploadType": "resumable", **query},
        json={"name": "a"},
        headers={"X-Upload-Content-Type": "text/plain"},
        timeout=10,
    )
    assert response.status_code == 200
    return response.headers["Location"]


def put(url: str, content_range: str | None, data: bytes = b"", **headers: str):
    if content_range is not None:
        headers["Content-Range"] = content_range
    return requests.put(url, data=data, headers=headers, timeout=10)


def test_chunks_and_questions(upload_url, bucket):
    state = put(upload_url, "bytes */*")
    assert (state.status_code, state.headers.get("Range")) == (308, None)
    state = put(upload_url, f"bytes 0-{CHUNK - 1}/*", DATA[:CHUNK])
    assert (state.status_code, state.headers["Range"]) == (308, f"bytes=0-{CHUNK - 1}")
    state = put(upload_url, f"bytes */{len(DATA)}")
    assert (state.status_code, state.headers["Range"]) == (308, f"bytes=0-{CHUNK - 1}")
    # A client that missed the answer sends bytes again.
    done = put(upload_url, f"bytes 1000-{len(DATA) - 1}/{len(DATA)}", DATA[1000:])
    assert (done.status_code, done.json()["size"]) == (200, str(len(DATA)))
    assert done.json()["contentType"] == "text/plain"
    assert put(upload_url, "bytes */*").json() == done.json()
    assert bucket.blob("a").download_as_bytes() == DATA


def test_one_put_without_content_range(upload_url, bucket):
    assert put(upload_url, None, DATA).status_code == 200
    assert bucket.blob("a").download_as_bytes() == DATA


def test_no_bytes(upload_url, bucket):
    assert put(upload_url, "bytes */0").json()["size"] == "0"
    assert bucket.blob("a").download_as_bytes() == b""


def test_an_end_without_bytes(upload_url):
    assert put(upload_url, f"bytes 0-{CHUNK - 1}/*", DATA[:CHUNK]).status_code == 308
    assert put(upload_url, f"bytes */{CHUNK}").json()["size"] == str(CHUNK)


@pytest.mark.parametrize(
    ("content_range", "data", "words"),
    [
        ("bytes 0-99/*", DATA[:100], "required to be equal or greater than 262144"),
        (f"bytes 5-{CHUNK + 4}/*", DATA[5 : CHUNK + 5], "begins at byte 5"),
        ("bytes 0-9/5", DATA[:10], "Invalid Content-Range"),
        ("bytes 0-4/5", DATA[:10], "more bytes than its Content-Range says"),
        ("bytes 5-2/10", b"", "Invalid Content-Range"),
        ("octets 0-9/10", DATA[:10], "Invalid Content-Range"),
    ],
)
def test_wrong_chunks(upload_url, content_range, data, words):
    refused = put(upload_url, content_range, data)
    assert refused.status_code == 400
    assert words in refused.json()["error"]["message"]


def test_bytes_beyond_the_range_are_not_stored(upload_url, bucket):
    size = 2 * CHUNK
    refused = put(upload_url, f"bytes 0-{CHUNK - 1}/{size}", DATA[: CHUNK + 100])
    assert refused.status_code == 400
    for first in (0, CHUNK):
        last = first + CHUNK - 1
        put(upload_url, f"bytes {first}-{last}/{size}", DATA[first : last + 1]).raise_for_status()
    assert bucket.blob("a").download_as_bytes() == DATA[:size]


def test_a_chunk_that_was_received_is_sent_again(upload_url, bucket):
    put(upload_url, f"bytes 0-{2 * CHUNK - 1}/*", DATA[: 2 * CHUNK]).raise_for_status()
    again = put(upload_url, f"bytes 0-{CHUNK - 1}/*", DATA[:CHUNK])
    assert again.headers["Range"] == f"bytes=0-{2 * CHUNK - 1}"
    rest = f"bytes {2 * CHUNK}-{len(DATA) - 1}/{len(DATA)}"
    put(upload_url, rest, DATA[2 * CHUNK :]).raise_for_status()
    assert bucket.blob("a").download_as_bytes() == DATA


def test_the_size_of_an_upload_does_not_change(endpoint, bucket, upload_url):
    put(upload_url, f"bytes 0-{CHUNK - 1}/{2 * CHUNK}", DATA[:CHUNK]).raise_for_status()
    refused = put(upload_url, f"bytes {CHUNK}-{CHUNK + 4}/{CHUNK + 5}", b"abcde")
    assert refused.status_code == 400
    assert f"The upload has {2 * CHUNK} bytes" in refused.json()["error"]["message"]
    for sent in (b"abc", b"abcdefg"):
        response = requests.post(
            f"{endpoint}/upload/storage/v1/b/{bucket.name}/o",
            params={"uploadType": "resumable", "name": "announced"},
            headers={"X-Upload-Content-Length": "5"},
            timeout=10,
        )
        assert put(response.headers["Location"], None, sent).status_code == 400
    assert bucket.get_blob("announced") is None


def test_a_later_request_takes_over_from_one_that_hangs(upload_url, bucket):
    url = urlsplit(upload_url)
    head = (
        f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n"
        f"Content-Length: {len(DATA)}\r\nContent-Range: bytes 0-{len(DATA) - 1}/{len(DATA)}\r\n\r\n"
    )
    with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
        connection.sendall(head.encode() + DATA[:1000])
        time.sleep(0.1)
        with socket.create_connection((url.hostname, url.port), timeout=10) as another:
            another.sendall(head.encode() + DATA[:1000])
            time.sleep(0.1)
            assert put(upload_url, f"bytes */{len(DATA)}").status_code == 308
            assert another.recv(12) == b"HTTP/1.1 409"
        assert connection.recv(12) == b"HTTP/1.1 409"
    put(upload_url, None, DATA).raise_for_status()
    assert bucket.blob("a").download_as_bytes() == DATA


def test_a_wrong_checksum_with_the_last_chunk(upload_url, bucket):
    refused = put(upload_url, "bytes 0-9/10", DATA[:10], **{"X-Goog-Hash": "crc32c=AAAAAA=="})
    assert refused.status_code == 400
    assert 'Provided CRC32C "AAAAAA=="' in refused.json()["error"]["message"]
    assert bucket.get_blob("a") is None


def test_bytes_stay_when_the_client_goes_away(upload_url, bucket):
    url = urlsplit(upload_url)
    head = (
        f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n"
        f"Content-Length: {8 << 20}\r\nContent-Range: bytes 0-{(8 << 20) - 1}/{8 << 20}\r\n\r\n"
    )
    data = os.urandom(8 << 20)
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.sendall(head.encode() + data[: 4 << 20])
    deadline = time.monotonic() + 10
    while not (held := put(upload_url, "bytes */*").headers.get("Range")):
        assert time.monotonic() < deadline, "the server kept nothing of 4 MiB"
    received = int(held.removeprefix("bytes=0-")) + 1
    rest = data[received:]
    put(upload_url, f"bytes {received}-{len(data) - 1}/{len(data)}", rest).raise_for_status()
    assert bucket.blob("a").download_as_bytes() == data


def test_cancel(endpoint, upload_url):
    assert requests.delete(upload_url, timeout=10).status_code == 499
    assert put(upload_url, "bytes */*").status_code == http.client.NOT_FOUND


def test_the_condition_counts_at_the_end(endpoint, bucket):
    url = start(endpoint, bucket.name, ifGenerationMatch="0")
    bucket.blob("a").upload_from_string("first")
    refused = put(url, "bytes 0-9/10", DATA[:10])
    assert refused.status_code == 412
    assert bucket.blob("a").download_as_bytes() == b"first"


def test_no_bucket(endpoint):
    response = requests.post(
        f"{endpoint}/upload/storage/v1/b/no-such-bucket/o",
        params={"uploadType": "resumable", "name": "a"},
        timeout=10,
    )
    assert response.status_code == 404
    assert response.json()["error"]["message"] == "The specified bucket does not exist."


def test_an_abandoned_upload_expires(store, tmp_path):
    store.create_bucket("bkt")
    now = 0.0
    sessions = UploadSessions(store, clock=lambda: now)
    plan = UploadPlan(
        ref=ObjectRef(bucket="bkt", name="a"), settings=ObjectSettings(), checksums={}
    )
    abandoned = sessions.start(plan)
    now = 20 * 3600.0
    kept = sessions.start(plan)
    now = 25 * 3600.0
    sessions.start(plan)
    assert sessions.find(kept.upload_id) is kept
    with pytest.raises(NotFound):
        sessions.find(abandoned.upload_id)
    assert len(list((tmp_path / "store" / "blobs").iterdir())) == 2
