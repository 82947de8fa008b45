"""Beam's GCS filesystem, unchanged, against the server."""

import base64
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import google_crc32c
import pytest

from tests.servers import QuietHandler, serve_handler

_SCRIPT = """
import json, logging, sys
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from apache_beam.io.gcp.gcsio import GcsIO
from apache_beam.options.pipeline_options import PipelineOptions

root = sys.argv[1]
results = {}
FileSystems.set_options(PipelineOptions(["--project=p"]))

def names(pattern):
    return [item.path.removeprefix(root) for item in FileSystems.match([pattern])[0].metadata_list]

def write(name, pieces):
    with FileSystems.create(root + name) as file:
        for piece in pieces:
            file.write(piece)

write("in/big", (bytes([n]) * 2_000_000 for n in range(20)))
write("in/empty", [])
write("in/ü 1.txt", [b"one"])
with FileSystems.open(root + "in/big") as file:
    results["big"] = file.read() == b"".join(bytes([n]) * 2_000_000 for n in range(20))
with FileSystems.open(root + "in/big") as file:
    file.seek(1_999_999)
    results["seek"] = list(file.read(2))
with FileSystems.open(root + "in/empty") as file:
    results["empty"] = file.read().decode()
results["match"] = names(root + "in/*")
FileSystems.copy([root + "in/ü 1.txt"], [root + "out/1"])
FileSystems.rename([root + "in/ü 1.txt", root + "out/1"], [root + "out/2", root + "out/3"])
results["renamed"] = names(root + "**")
results["exists"] = [FileSystems.exists(root + name) for name in ("out/1", "out/2")]
results["checksum"] = FileSystems.checksum(root + "out/2")
try:
    FileSystems.rename([root + "absent"], [root + "x"])
except BeamIOError as error:
    results["absent"] = list(error.exception_details.values())
try:
    FileSystems.open(root + "absent")
except Exception as error:
    results["open absent"] = type(error).__name__
results["soft delete"] = GcsIO().is_soft_delete_enabled(root)
FileSystems.delete([root + "in/", root + "out/2"])
results["deleted"] = names(root + "**")
print(json.dumps(results))
"""


class _Metadata(QuietHandler):
    """The part of a metadata server that google-auth needs to get a token."""

    def do_GET(self):
        path = self.path.split("?")[0].removeprefix("/computeMetadata/v1")
        account = {"email": "a@b", "scopes": [], "aliases": []}
        answers = {
            "/": "computeMetadata/",
            "/project/project-id": "p",
            "/universe/universe-domain": "googleapis.com",
            "/instance/service-accounts/default/": account,
            "/instance/service-accounts/default/token": {"access_token": "t", "expires_in": 3600},
        }
        answer = answers.get(path)
        body = answer if isinstance(answer, str) else json.dumps(answer)
        self.send_response(200 if answer is not None else 404)
        self.send_header("Metadata-Flavor", "Google")
        kind = "application/text" if isinstance(answer, str) else "application/json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def metadata_server() -> Iterator[str]:
    with serve_handler(_Metadata) as port:
        yield f"localhost:{port}"


@pytest.fixture
def run_script(endpoint, bucket, metadata_server):
    """Run a script that prints JSON, with the bucket as its argument."""

    def run(script):
        ran = subprocess.run(
            [sys.executable, "-c", script, f"gs://{bucket.name}/"],
            env=os.environ
            | {
                "STORAGE_EMULATOR_HOST": endpoint,
                "GCE_METADATA_HOST": metadata_server,
                "GCE_METADATA_IP": metadata_server,
                "GCE_METADATA_ROOT": metadata_server,
                "NO_GCE_CHECK": "false",
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return run


_SOURCES_SCRIPT = """
import json, sys
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from template.sources import find_files
from template.sources.streams import is_gzip, open_stream

FileSystems.set_options(PipelineOptions(["--project=p"]))
files = {}
for file in find_files(sys.argv[1] + "in/**"):
    with open_stream(file.path) as stream:
        files[file.path.removeprefix(sys.argv[1])] = [is_gzip(stream), stream.read().decode()]
print(json.dumps(files))
"""


def test_sources_read_what_the_content_encoding_says_and_no_placeholders(bucket, run_script):
    bucket.blob("in/").upload_from_string(b"")
    bucket.blob("in/day=1/").upload_from_string(b"")
    bucket.blob("in/_SUCCESS").upload_from_string(b"")
    bucket.blob("in/day=1/plain.csv").upload_from_string(b"a\n1\n", content_type="text/csv")
    encoded = bucket.blob("in/day=1/encoded.csv")
    encoded.content_encoding = "gzip"
    encoded.upload_from_string(gzip.compress(b"a\n2\n"), content_type="text/csv")
    assert run_script(_SOURCES_SCRIPT) == {
        "in/day=1/plain.csv": [False, "a\n1\n"],
        "in/day=1/encoded.csv": [True, "a\n2\n"],
    }


def test_beam_filesystem(run_script):
    assert run_script(_SCRIPT) == {
        "big": True,
        "seek": [0, 1],
        "empty": "",
        "match": ["in/big", "in/empty", "in/ü 1.txt"],
        "renamed": ["in/big", "in/empty", "out/2", "out/3"],
        "exists": [False, True],
        "checksum": base64.b64encode(google_crc32c.Checksum(b"one").digest()).decode(),
        "absent": [404],
        "open absent": "NotFound",
        "soft delete": False,
        "deleted": ["out/3"],
    }
