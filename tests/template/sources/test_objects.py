"""Cloud Storage objects as streams, on the local Dataflow's store: bytes and requests."""

import gzip
import io
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from launcher.emulator.storage.app import build_storage_app
from launcher.emulator.storage.store import ObjectStore
from template.dead_letters import DeadLetter
from template.file_versions import FileVersion
from template.sources.csv import split_csv
from template.sources.idx import split_idx
from template.sources.images import split_images
from template.sources.jsonl import split_jsonl
from template.sources.parquet import split_parquet
from template.sources.streams import ReadSettings, UnreadableError, open_stored, open_stream
from tests.servers import serve_app

BYTES = random.Random(1).randbytes(100_000)


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """Return a bucket whose ``requests`` are recorded as (method, range), without listings."""
    store = ObjectStore(tmp_path / "gcs")
    app = build_storage_app(store)
    requests = []

    async def note(scope, receive, send):
        headers = dict(scope["headers"])
        if "/o/" in scope["path"]:
            requests.append((scope["method"], headers.get(b"range", b"").decode()))
        await app(scope, receive, send)

    with serve_app(note) as port:
        endpoint = f"http://localhost:{port}"
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", endpoint)
        FileSystems.set_options(PipelineOptions(["--project=p", "--no_auth"]))
        credentials = AnonymousCredentials()
        options = {"api_endpoint": endpoint}
        client = storage.Client(project="p", credentials=credentials, client_options=options)
        made = client.create_bucket("bkt")
        made.requests = requests
        yield made
    store.close()


@pytest.mark.parametrize("window", [1, 100, 30_000, 1 << 20])
def test_any_reads_are_those_of_the_bytes(bucket, window):
    bucket.blob("in").upload_from_string(BYTES)
    chance = random.Random(2)
    same = io.BytesIO(BYTES)
    with open_stored("gs://bkt/in", window=window) as stream:
        for _ in range(25):
            place = chance.choice([(chance.randrange(110_000), 0), (0, 1), (-1000, 2)])
            assert stream.seek(*place) == same.seek(*place)
            size = chance.choice([0, 1, 999, 40_000, -1])
            assert stream.read(size) == same.read(size)
            assert stream.tell() == same.tell()
            buffer = bytearray(500)
            count = stream.readinto1(buffer)
            assert buffer[:count] == same.read(count)
            assert count or not same.read(1)
            same.seek(stream.tell())


def test_a_small_object_takes_one_request_wherever_it_is_read(bucket):
    bucket.blob("in").upload_from_string(b"first,second\n1,2\n")
    bucket.requests.clear()
    with open_stream("gs://bkt/in") as stream:
        stream.read(2)
        assert stream.read() == b"rst,second\n1,2\n"
        stream.seek(0)
        assert stream.read() == b"first,second\n1,2\n"
        assert stream.read() == b""
    assert len(bucket.requests) == 1


def test_an_empty_object_and_one_as_long_as_the_window_end(bucket):
    bucket.blob("empty").upload_from_string(b"")
    bucket.blob("in").upload_from_string(b"abcd")
    with open_stored("gs://bkt/empty") as stream:
        assert stream.read() == stream.read(1) == b""
    bucket.requests.clear()
    with open_stored("gs://bkt/in", window=4) as stream:
        assert [stream.read(4), stream.read(1), stream.read(1)] == [b"abcd", b"", b""]
    assert len(bucket.requests) == 2


def test_requests_of_a_stream_are_of_one_generation(bucket):
    bucket.blob("in").upload_from_string(b"old" * 1000)
    with open_stored("gs://bkt/in", window=100) as stream:
        assert stream.read(3) == b"old"
        bucket.blob("in").upload_from_string(b"new" * 1000)
        with pytest.raises(Exception, match="404"):  # and never half of each
            stream.read(1000)


def test_an_object_that_is_not_there_cannot_be_opened(bucket):
    for start in (0, 10, None):
        with pytest.raises(UnreadableError, match="cannot be opened: 404"):  # noqa: SIM117
            with open_stored("gs://bkt/none", start=start):
                pass


def upload(bucket, name, content):
    blob = bucket.blob(name)
    blob.upload_from_string(content)
    path = f"gs://{bucket.name}/{name}"
    return FileVersion(path=path, size=len(content), generation=str(blob.generation))


def parquet_bytes(values):
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": values}), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("split", "before", "after"),
    [
        (split_csv, b"a,b\n1,2\n3,4\n", b"b,a\n5,6\n7,8\n"),
        (split_csv, gzip.compress(b"a,b\n1,2\n"), gzip.compress(b"b,a\n5,6\n")),
        (split_jsonl, b'{"a": 1}\n', b'{"a": 2}\n'),
        (split_jsonl, gzip.compress(b'{"a": 1}\n'), gzip.compress(b'{"a": 2}\n')),
        (split_parquet, parquet_bytes([1, 2]), parquet_bytes([3, 4])),
        (split_idx, b"\0\0\x08\x03\0\0\0\x01\0\0\0\x01\0\0\0\x01\x05", b"\0" * 17),
    ],
    ids=["csv", "csv-gzip", "jsonl", "jsonl-gzip", "parquet", "idx"],
)
def test_an_object_that_is_overwritten_after_it_was_found_is_not_read(bucket, split, before, after):
    settings = ReadSettings(batch_size=10)
    file = upload(bucket, "in", before)
    found = list(split(file, settings))
    assert not any(isinstance(each, DeadLetter) for each in found)
    upload(bucket, "in", after)
    for read in (lambda: list(found[0].read(settings)), lambda: list(split(file, settings))):
        with pytest.raises(UnreadableError, match="overwritten or deleted after the job had found"):
            read()


def test_requests_for_small_files_of_each_format(bucket):
    settings = ReadSettings(batch_size=10)
    file = upload(bucket, "a.csv", b"a,b\n1,2\n3,4\n")
    bucket.requests.clear()
    (split,) = split_csv(file, settings)
    (block,) = split.read(settings)
    assert block.frame["b"].tolist() == [2, 4]
    assert bucket.requests == [("GET", "bytes=0-8388607"), ("GET", "bytes=4-11")]

    files = []
    for number in range(20):
        bucket.blob(f"{number:02}.bmp").upload_from_string(b"not an image")
        files.append(FileVersion(path=f"gs://bkt/{number:02}.bmp", size=12, generation="1"))
    bucket.requests.clear()
    (images,) = split_images(files, settings)
    assert [letter.key for letter in images.read(settings)] == [file.path for file in files]
    assert len(bucket.requests) == 20
