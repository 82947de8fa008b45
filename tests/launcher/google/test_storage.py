"""Looking into Cloud Storage."""

from __future__ import annotations

import re

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from launcher import (
    InputError,
)
from launcher.google.storage import check_bucket, read_first_match


def connect(endpoint, session=None):
    return Client(
        project="my-project",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": endpoint},
        _http=session,
    )


@pytest.fixture
def client(storage):
    return connect(storage.endpoint)


NAMES = ("in/2025/a.csv", "in/a.csv", "in/b1.csv", "in/b2.csv.gz")


@pytest.mark.parametrize(
    ("glob", "name"),
    [
        ("in/a.csv", "in/a.csv"),
        ("in/*.csv", "in/a.csv"),
        ("in/**.csv", "in/2025/a.csv"),
        ("in/b?.csv", "in/b1.csv"),
        ("in/[b-z]*.gz", "in/b2.csv.gz"),
        ("in/[!a]*.csv", "in/b1.csv"),
        ("in/a[.]csv", "in/a.csv"),
    ],
)
def test_the_first_match_is_one_that_beam_would_read(storage, client, glob, name):
    beam = pytest.importorskip("apache_beam.io.filesystem")
    for each in NAMES:
        storage.store.write("my-bucket", each, each.encode())
    found = read_first_match(f"gs://my-bucket/{glob}", limit_bytes=5, client=client)
    assert found == (f"gs://my-bucket/{name}", name[:5].encode())
    assert re.match(beam.FileSystem.translate_pattern(glob), name)


def test_a_pattern_that_matches_nothing(storage, client):
    storage.store.write("my-bucket", "in/2025/a.csv", b"x")
    with pytest.raises(InputError, match=r"in/\*\.csv: no object matches"):
        read_first_match("gs://my-bucket/in/*.csv", limit_bytes=5, client=client)
    with pytest.raises(InputError, match="cannot be read as a pattern: bad character range"):
        read_first_match("gs://my-bucket/in/[z-a].csv", limit_bytes=5, client=client)


def test_a_bucket_is_looked_for(client):
    check_bucket("my-bucket", client=client)
    check_bucket("my-bucket/folder", client=client)
    with pytest.raises(InputError, match="there is no bucket 'other-bucket'"):
        check_bucket("other-bucket", client=client)
