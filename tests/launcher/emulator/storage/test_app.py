"""The HTTP surface: Google's errors, refusals by name, and resources that fit the schemas."""

import logging
import shutil
import socket
import time
from urllib.parse import quote, urlsplit

import pytest
import requests
from starlette.testclient import TestClient

from launcher.emulator.storage.app import build_storage_app
from tests.schemas import Schemas


def call(endpoint, verb, path, **kwargs):
    return requests.request(verb, f"{endpoint}{path}", timeout=10, **kwargs)


def refusal(response) -> tuple[int, str, str]:
    error = response.json()["error"]
    assert error["code"] == response.status_code
    assert error["errors"][0]["message"] == error["message"]
    return error["code"], error["errors"][0]["reason"], error["message"]


def test_not_found(endpoint, bucket):
    absent = f"/storage/v1/b/{bucket.name}/o/a%2Fb"
    words = f"No such object: {bucket.name}/a/b"
    assert refusal(call(endpoint, "GET", absent)) == (404, "notFound", words)
    media = call(endpoint, "GET", f"/download{absent}?alt=media")
    assert (media.status_code, media.text) == (404, words)
    assert refusal(call(endpoint, "GET", "/storage/v1/b/none/o/a")) == (
        404,
        "notFound",
        "The specified bucket does not exist.",
    )
    assert call(endpoint, "GET", f"/{bucket.name}/a").status_code == 404


def test_bucket_refusals(endpoint, bucket):
    path = "/storage/v1/b?project=p"
    assert refusal(call(endpoint, "POST", path, json={"name": bucket.name})) == (
        409,
        "conflict",
        "Your previous request to create the named bucket succeeded and you already own it.",
    )
    assert refusal(call(endpoint, "POST", path, json={"name": "A"})) == (
        400,
        "invalid",
        "Invalid bucket name: 'A'",
    )
    assert refusal(call(endpoint, "POST", "/storage/v1/b", json={"name": "abc"})) == (
        400,
        "invalid",
        "Required parameter: project",
    )
    bucket.blob("a").upload_from_string("")
    assert refusal(call(endpoint, "DELETE", f"/storage/v1/b/{bucket.name}")) == (
        409,
        "conflict",
        "The bucket you tried to delete is not empty.",
    )


def test_condition_not_met(endpoint, bucket):
    bucket.blob("a").upload_from_string("")
    path = f"/storage/v1/b/{bucket.name}/o/a"
    assert refusal(call(endpoint, "DELETE", f"{path}?ifGenerationMatch=1")) == (
        412,
        "conditionNotMet",
        "At least one of the pre-conditions you specified did not hold.",
    )
    generation = bucket.get_blob("a").generation
    unchanged = call(endpoint, "GET", f"{path}?ifGenerationNotMatch={generation}")
    assert (unchanged.status_code, unchanged.content) == (304, b"")


@pytest.mark.parametrize(
    ("verb", "path", "kwargs", "named"),
    [
        ("GET", "/storage/v1/b/{b}/iam", {}, "storage.buckets.getIamPolicy"),
        ("POST", "/storage/v1/b/{b}/o/a/moveTo/o/c", {}, "storage.objects.move"),
        ("GET", "/storage/v1/b/{b}/o?softDeleted=true", {}, "'softDeleted' of storage.objects"),
        ("GET", "/storage/v1/b/{b}/o?softDeleted=true", {}, "'softDeleted'"),
        ("PATCH", "/storage/v1/b/{b}", {"json": {"versioning": {"enabled": True}}}, "versioning"),
        ("PATCH", "/storage/v1/b/{b}/o/a", {"json": {"temporaryHold": True}}, "temporaryHold"),
        ("GET", "/storage/v1/b/{b}/o/a", {"headers": {"If-Match": "x"}}, "if-match"),
        (
            "POST",
            "/upload/storage/v1/b/{b}/o?uploadType=media&name=x",
            {"headers": {"x-goog-encryption-algorithm": "AES256"}},
            "x-goog-encryption-algorithm",
        ),
        (
            "POST",
            "/upload/storage/v1/b/{b}/o?uploadType=media&name=x&kmsKeyName=k",
            {},
            "'kmsKeyName' of storage.objects.insert",
        ),
    ],
)
def test_what_is_not_implemented_says_so(endpoint, bucket, verb, path, kwargs, named):
    bucket.blob("a").upload_from_string("")
    response = call(endpoint, verb, path.format(b=bucket.name), **kwargs)
    status, reason, message = refusal(response)
    assert (status, reason) == (501, "notImplemented")
    assert named in message


def test_fields_that_ask_for_nothing_are_accepted(endpoint, bucket):
    sent = {"versioning": {"enabled": False}, "softDeletePolicy": {"retentionDurationSeconds": 0}}
    path = f"/storage/v1/b/{bucket.name}"
    assert call(endpoint, "PATCH", path, json=sent).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/storage/v1/b/{b}/o?maxResults=x", None),
        ("/storage/v1/b/{b}/o?maxResults=-1", None),
        ("/storage/v1/b/{b}/o?matchGlob=%7Ba", None),
        ("/storage/v1/b/{b}/o?pageToken=%C3%A9", None),
        ("/storage/v1/b/{b}/o?pageToken=%21%21%21", None),
        ("/storage/v1/b?project=p", b'{"name": "labelled", "labels": {"Upper": "a"}}'),
        (
            "/storage/v1/b/{b}/o/a/compose",
            b'{"destination": {"metadata": {"a": "%s"}}}' % (b"b" * 9000),
        ),
        ("/storage/v1/b/{b}/o/%FF", None),
        ("/upload/storage/v1/b/{b}/o?uploadType=media", b"x"),
        ("/upload/storage/v1/b/{b}/o?uploadType=multipart&name=a", b"x"),
        ("/storage/v1/b/{b}/o/a/compose", b"[1]"),
        ("/storage/v1/b/{b}/o/a/compose", b'{"sourceObjects": [{"nome": "b"}]}'),
        ("/storage/v1/b/{b}/o/a/compose", b"{}"),
        ("/storage/v1/b?project=p", b"{nonsense"),
        ("/storage/v1/b?project=p", b'{"name": "surrogate", "labels": {"a": "\\ud800"}}'),
        ("/storage/v1/b?project=p", b'{"name": "deep", "labels": ' + b'{"a":' * 1000),
        ("/storage/v1/b?project=p", b'{"name": "soft", "softDeletePolicy": 5}'),
        ("/upload/storage/v1/b/{b}/o?uploadType=resumable", b'{"name": 5}'),
        ("/upload/storage/v1/b/{b}/o?uploadType=resumable", b'{"name": "a\\udc00"}'),
        ("/storage/v1/b/{b}/o/a/compose", b'{"sourceObjects": [{"name": "a"}], "destination": 1}'),
        ("/storage/v1/b/{b}/o/a/compose", b'{"sourceObjects": [{"name": [1]}]}'),
        ("/storage/v1/b/{b}/o/a/compose", b'{"sourceObjects": 5}'),
        ("/storage/v1/b/{b}/o?maxResults=" + "9" * 5000, None),
    ],
)
def test_nonsense_is_a_bad_request(endpoint, bucket, path, body):
    verb = "GET" if body is None else "POST"
    response = call(endpoint, verb, path.format(b=bucket.name), data=body)
    assert refusal(response)[:2] == (400, "invalid")
    assert call(endpoint, "GET", "/storage/v1/b?project=p").status_code == 200
    assert call(endpoint, "GET", f"/storage/v1/b/{bucket.name}/o").status_code == 200


def test_a_batch_of_too_many_calls(endpoint, bucket):
    part = (
        b"--b\r\nContent-Type: application/http\r\n\r\nGET /storage/v1/b/none HTTP/1.1\r\n\r\n\r\n"
    )
    kind = {"Content-Type": "multipart/mixed; boundary=b"}
    most = call(endpoint, "POST", "/batch/storage/v1", data=part * 1000 + b"--b--", headers=kind)
    assert most.content.count(b"HTTP/1.1 404") == 1000
    more = call(endpoint, "POST", "/batch/storage/v1", data=part * 1001 + b"--b--", headers=kind)
    assert refusal(more) == (400, "invalid", "The batch has 1001 calls, of which 1000 are allowed.")


def test_a_client_that_goes_away_leaves_no_traceback(endpoint, bucket, caplog):
    url = urlsplit(endpoint)
    path = f"/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=cut"
    head = f"POST {path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: 100\r\n\r\nabc"
    with caplog.at_level(logging.INFO):
        with socket.create_connection((url.hostname, url.port)) as connection:
            connection.sendall(head.encode())
            time.sleep(0.1)
        for _ in range(10):
            time.sleep(0.05)
            assert call(endpoint, "GET", f"/storage/v1/b/{bucket.name}").status_code == 200
    assert not [record for record in caplog.records if record.exc_info]
    assert bucket.get_blob("cut") is None


@pytest.mark.parametrize("header", [f"bytes={'9' * 5000}-", f"bytes=0-{'9' * 5000}", "bytes=²-"])
def test_a_range_of_nonsense_is_ignored(endpoint, bucket, header):
    bucket.blob("a").upload_from_string("abc")
    url = f"{endpoint}/storage/v1/b/{bucket.name}/o/a?alt=media"
    answer = requests.get(url, headers={"Range": header.encode()}, timeout=10)
    assert (answer.status_code, answer.text) == (200, "abc")


def test_a_broken_url_in_a_batch_is_a_bad_request(endpoint):
    body = b"--b\r\nContent-ID: <1>\r\n\r\nGET http://[::1 HTTP/1.1\r\n\r\n\r\n--b--"
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    answer = call(endpoint, "POST", "/batch/storage/v1", data=body, headers=headers)
    assert refusal(answer)[:2] == (400, "invalid")


@pytest.mark.parametrize(("verb", "path"), [("PATCH", "o/a"), ("PATCH", "")])
def test_fields_of_a_wrong_type(endpoint, bucket, verb, path):
    bucket.blob("a").upload_from_string("")
    url = f"/storage/v1/b/{bucket.name}/{path}".rstrip("/")
    for field in ("storageClass", "metadata" if path else "labels"):
        assert refusal(call(endpoint, verb, url, json={field: [1]}))[:2] == (400, "invalid")


def test_ranges_and_headers(endpoint, bucket):
    blob = bucket.blob("a")
    blob.cache_control = "no-store"
    blob.upload_from_string("0123456789", content_type="text/plain")
    url = f"/download/storage/v1/b/{bucket.name}/o/a?alt=media"
    whole = call(endpoint, "GET", url)
    assert (whole.status_code, whole.text) == (200, "0123456789")
    assert whole.headers["X-Goog-Hash"] == f"crc32c={blob.crc32c},md5={blob.md5_hash}"
    assert whole.headers["X-Goog-Generation"] == str(blob.generation)
    assert whole.headers["Cache-Control"] == "no-store"
    assert whole.headers["Content-Type"] == "text/plain"
    part = call(endpoint, "GET", url, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.text) == (206, "234")
    assert part.headers["Content-Range"] == "bytes 2-4/10"
    beyond = call(endpoint, "GET", url, headers={"Range": "bytes=10-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */10")


def test_gzip_is_left_to_the_client(endpoint, bucket):
    blob = bucket.blob("a")
    blob.content_encoding = "gzip"
    blob.upload_from_string(b"\x1f\x8b stays as it is")
    url = f"/storage/v1/b/{bucket.name}/o/a?alt=media"
    raw = call(endpoint, "GET", url, headers={"Accept-Encoding": "gzip"}, stream=True)
    assert raw.raw.read(decode_content=False) == b"\x1f\x8b stays as it is"
    assert call(endpoint, "GET", url, headers={"Accept-Encoding": "identity"}).status_code == 501


def test_an_error_of_the_server_itself_has_googles_form(store, tmp_path):
    store.create_bucket("bkt")
    shutil.rmtree(tmp_path / "store" / "blobs")
    app = build_storage_app(store)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as http:
        answer = http.post("/upload/storage/v1/b/bkt/o?uploadType=media&name=a", content=b"a")
    assert answer.status_code == 500
    error = answer.json()["error"]
    assert error["errors"][0]["reason"] == "backendError"
    assert "failed on this request: FileNotFoundError: " in error["message"]


def test_resources_fit_the_official_schemas(endpoint, bucket):
    blob = bucket.blob("a/b")
    blob.metadata = {"k": "v"}
    blob.upload_from_string("x")
    bucket.labels = {"k": "v"}
    bucket.patch()
    schemas = Schemas("storage.v1")
    here, there = f"/storage/v1/b/{bucket.name}", quote("a/b", safe="")
    for schema, verb, path, body in [
        ("Bucket", "GET", here, None),
        ("Buckets", "GET", "/storage/v1/b?project=p", None),
        ("BucketStorageLayout", "GET", f"{here}/storageLayout", None),
        ("Object", "GET", f"{here}/o/{there}", None),
        ("Objects", "GET", f"{here}/o?delimiter=/", None),
        ("Objects", "GET", f"{here}/o", None),
        ("Object", "POST", f"{here}/o/c/compose", {"sourceObjects": [{"name": "a/b"}]}),
        ("RewriteResponse", "POST", f"{here}/o/{there}/rewriteTo/b/{bucket.name}/o/d", None),
    ]:
        response = call(endpoint, verb, path, json=body)
        assert response.status_code == 200, (path, response.text)
        assert schemas.find_problems(schema, response.json()) == []


@pytest.mark.parametrize("disposition", [None, "inline", 'attachment; filename="b.html"'])
def test_a_stored_page_is_not_shown_as_one(endpoint, bucket, disposition):
    blob = bucket.blob("page.html")
    blob.content_disposition = disposition
    blob.upload_from_string("<script>alert(1)</script>", content_type="text/html")
    path = f"/storage/v1/b/{bucket.name}/o/page.html?alt=media"
    for root in ("", "/download"):
        answer = call(endpoint, "GET", f"{root}{path}")
        assert answer.text == "<script>alert(1)</script>"
        assert answer.headers["Content-Type"] == "text/html"
        own = disposition if disposition and disposition != "inline" else "attachment"
        assert answer.headers["Content-Disposition"] == own
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
    blob.reload()
    assert blob.content_disposition == disposition
