"""google-cloud-storage 3.x, unchanged, against the server."""

import io
import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.api_core.exceptions import Conflict, NotFound, PreconditionFailed

MIB = 1 << 20


def test_buckets(client, bucket):
    assert client.lookup_bucket("no-such-bucket") is None
    with pytest.raises(Conflict):
        client.create_bucket(bucket.name)
    assert bucket.soft_delete_policy.retention_duration_seconds == 0
    bucket.labels = {"team": "a"}
    bucket.patch()
    assert client.get_bucket(bucket.name).labels == {"team": "a"}
    assert bucket.name in [found.name for found in client.list_buckets(max_results=1000)]
    bucket.delete()
    assert not bucket.exists()


def test_upload_and_download(bucket):
    blob = bucket.blob("a.txt")
    blob.metadata = {"k": "v"}
    blob.upload_from_string("hello", content_type="text/plain", checksum="crc32c")
    found = bucket.get_blob("a.txt")
    assert (found.size, found.content_type, found.metadata) == (5, "text/plain", {"k": "v"})
    assert found.download_as_bytes(checksum="crc32c") == b"hello"
    assert bucket.blob("a.txt").download_as_bytes(start=1, end=3) == b"ell"
    found.reload()
    with pytest.raises(NotFound, match=re.escape(f"No such object: {bucket.name}/b.txt")):
        bucket.blob("b.txt").download_as_bytes()
    found.delete()
    with pytest.raises(NotFound):
        found.reload()


def test_empty_objects(bucket):
    bucket.blob("empty").upload_from_string("")
    assert bucket.blob("empty").download_as_bytes() == b""
    with bucket.blob("streamed").open("wb"):
        pass
    with bucket.blob("streamed").open("rb") as file:
        assert file.read() == b""


def test_twenty_megabytes(bucket):
    data = os.urandom(20 * MIB)
    bucket.blob("big").upload_from_file(io.BytesIO(data), checksum="md5")
    into = io.BytesIO()
    bucket.blob("big").download_to_file(into)
    assert into.getvalue() == data


def test_concurrent_resumable_uploads(bucket, client):
    contents = {f"o{n}": os.urandom(3 * MIB + n) for n in range(8)}

    def upload(name: str) -> None:
        with client.bucket(bucket.name).blob(name, chunk_size=MIB // 2).open("wb") as file:
            for start in range(0, len(contents[name]), 100_000):
                file.write(contents[name][start : start + 100_000])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(upload, contents))
    assert {blob.name: blob.download_as_bytes() for blob in bucket.list_blobs()} == contents


def test_one_of_many_racing_uploads_wins(bucket, client):
    def upload(number: int) -> bool:
        blob = client.bucket(bucket.name).blob("a")
        try:
            blob.upload_from_string(str(number), if_generation_match=0)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        wins = list(pool.map(upload, range(30)))
    assert wins.count(True) == 1
    assert bucket.blob("a").download_as_text() == str(wins.index(True))


def test_listing(bucket):
    names = ["a", "dir/", "dir/x", "dir/y/z", "e"]
    for name in names:
        bucket.blob(name).upload_from_string("")
    assert [blob.name for blob in bucket.list_blobs(page_size=2)] == names
    flat = bucket.list_blobs(delimiter="/")
    assert [blob.name for blob in flat] == ["a", "e"]
    assert flat.prefixes == {"dir/"}
    inside = bucket.list_blobs(prefix="dir/", delimiter="/", include_trailing_delimiter=True)
    assert [blob.name for blob in inside] == ["dir/", "dir/x", "dir/y/"][:2]
    assert inside.prefixes == {"dir/y/"}
    between = bucket.list_blobs(start_offset="dir/x", end_offset="e")
    assert [blob.name for blob in between] == ["dir/x", "dir/y/z"]


@pytest.mark.parametrize(
    "name",
    [
        "a/../../etc/passwd",
        "/absolute",
        "%2F and %252F",
        "o/copyTo/b/x/o/y",
        "ünïcödé 😀 and spaces",
        "?query=1&alt=media#fragment",
        "a+b;c,d='e'\"f\"",
        "..a",
        "x" * 1024,
    ],
)
def test_difficult_names(bucket, name):
    blob = bucket.blob(name)
    blob.upload_from_string(name)
    assert [found.name for found in bucket.list_blobs()] == [name]
    assert bucket.get_blob(name).download_as_text() == name
    copied = bucket.copy_blob(blob, bucket, f"c{name[1:]}")
    assert copied.download_as_text() == name
    bucket.delete_blobs([blob, copied])
    assert list(bucket.list_blobs()) == []


def test_copies_keep_or_replace_metadata(bucket):
    blob = bucket.blob("a")
    blob.metadata = {"k": "v"}
    blob.upload_from_string("x", content_type="text/plain")
    assert bucket.copy_blob(blob, bucket, "b").metadata == {"k": "v"}
    target = bucket.blob("c")
    target.metadata = {"other": "1"}
    assert target.rewrite(blob) == (None, 1, 1)
    assert (target.metadata, target.content_type) == ({"other": "1"}, "text/plain")
    bucket.rename_blob(bucket.blob("b"), "d")
    assert [found.name for found in bucket.list_blobs()] == ["a", "c", "d"]


def test_metadata_changes(bucket):
    blob = bucket.blob("a")
    blob.metadata = {"k": "v", "gone": "soon"}
    blob.upload_from_string("x")
    blob.metadata = {"k": "w", "gone": None}
    blob.content_language = "de"
    blob.patch(if_metageneration_match=1)
    found = bucket.get_blob("a")
    assert (found.metadata, found.content_language, found.metageneration) == ({"k": "w"}, "de", 2)
    with pytest.raises(PreconditionFailed):
        blob.patch(if_metageneration_match=1)
    found.content_language = None
    found.update()
    assert bucket.get_blob("a").content_language is None


def test_compose(bucket):
    parts = [bucket.blob(f"part{n}") for n in range(2)]
    for part in parts:
        part.upload_from_string(part.name)
    whole = bucket.blob("whole")
    whole.content_type = "text/plain"
    whole.compose(parts)
    assert bucket.get_blob("whole").component_count == 2
    assert whole.download_as_text() == "part0part1"


def test_batch(bucket, client):
    for name in ("a", "b"):
        bucket.blob(name).upload_from_string(name)
    with client.batch(raise_exception=False) as batch:
        bucket.copy_blob(bucket.blob("a"), bucket, "ü/c")
        patched = bucket.blob("a")
        patched.metadata = {"k": "ü"}
        patched.patch()
        bucket.delete_blob("b")
        bucket.delete_blob("absent")
    assert [response.status_code for response in batch._responses] == [200, 200, 204, 404]
    assert {blob.name: blob.metadata for blob in bucket.list_blobs()} == {
        "a": {"k": "ü"},
        "ü/c": None,
    }


def test_a_corrupt_upload_is_refused(bucket):
    blob = bucket.blob("a")
    blob.md5_hash = "AAAAAAAAAAAAAAAAAAAAAA=="
    with pytest.raises(Exception, match="Provided MD5 hash"):
        blob.upload_from_string("x", checksum=None)
    assert not blob.exists()
