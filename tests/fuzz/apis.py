"""Malformed requests to the local Dataflow and to its Cloud Storage, over HTTP.

The servers are the real ones, with real stores; jobs are recorded, and nothing runs them. Every
answer must be a success, a 4xx or a 501, on a connection that stays open. Whatever a request has
stored, the following listings must work.
"""

import contextlib
import functools
import http.client
import json
import logging
import random
import re
import urllib.parse
from pathlib import Path

from googleapiclient import discovery_cache

from launcher.emulator.connections import Connection
from launcher.emulator.gzip_requests import GzipRequests
from launcher.emulator.service.app import build_dataflow_app
from launcher.emulator.service.discovery import load_discovery
from launcher.emulator.service.faults import FaultQueue
from launcher.emulator.service.guard import LocalOnly
from launcher.emulator.service.history import JobHistory
from launcher.emulator.service.job_facts import job_facts_routes
from launcher.emulator.service.job_store import JobStore
from launcher.emulator.service.metadata_server import metadata_routes
from launcher.emulator.service.methods import Methods
from launcher.emulator.service.operations import OPERATIONS as DATAFLOW_OPERATIONS
from launcher.emulator.service.operations import answer_call
from launcher.emulator.storage.app import IMPLEMENTED, build_storage_app
from launcher.emulator.storage.errors import Conflict
from launcher.emulator.storage.methods import MethodTable
from launcher.emulator.storage.store import ObjectStore
from tests.fuzz.hostile import spoil_bytes, spoil_json, spoil_text
from tests.fuzz.tracebacks import Tracebacks
from tests.servers import serve_app

TIMEOUT_SEC = 9
_LONGEST_TEXT = 5000
BUCKET, _OBJECT, _REGION = "fuzzed-bucket", "folder/object", "europe-west1"
SPEC = {
    "image": "local/batch",
    "sdkInfo": {"language": "PYTHON"},
    "metadata": {
        "name": "Batch",
        "parameters": [
            {"name": "input", "label": "In", "helpText": "In.", "regexes": ["^gs://.+$"]},
            {"name": "names", "label": "N", "helpText": "N.", "regexes": ["([a-z]+,?)+"]},
        ],
    },
    "defaultEnvironment": {"maxWorkers": 2},
}
_LAUNCH = {
    "launchParameter": {
        "jobName": "job",
        "containerSpec": SPEC,
        "parameters": {"input": "gs://data/in", "names": "a" * 40},
        "environment": {"numWorkers": 1, "additionalUserLabels": {"a": "b"}},
        "launchOptions": {"ft_launch_timeout_secs": "5"},
    },
    "validateOnly": False,
}
_JOB = {
    "name": "own-job",
    "type": "JOB_TYPE_BATCH",
    "labels": {"a": "b"},
    "environment": {
        "userAgent": {"name": "Apache Beam", "version": "2.77.0"},
        "sdkPipelineOptions": {"options": {"pipelineUrl": f"gs://{BUCKET}/p.pb"}},
        "workerPools": [{"packages": [{"name": "a", "location": "storage.googleapis.com/b/a"}]}],
    },
    "steps": [{"kind": "K", "name": "s1", "properties": {"a": [1, {"b": None}]}}],
}
_OBJECT_FIELDS = {"name": "made", "contentType": "text/plain", "metadata": {"a": "b"}}
_BODIES = {
    "dataflow.projects.locations.flexTemplates.launch": _LAUNCH,
    "jobs.create": _JOB,
    "jobs.update": {"requestedState": "JOB_STATE_CANCELLED"},
    "storage.buckets.insert": {"name": "made-bucket", "labels": {"a": "b"}, "location": "EU"},
    "storage.buckets.patch": {
        "labels": {"a": "b"},
        "softDeletePolicy": {"retentionDurationSeconds": "0"},
    },
    "storage.objects.insert": _OBJECT_FIELDS,
    "storage.objects.patch": {"metadata": {"a": None}},
    "storage.objects.update": {"contentType": "text/plain"},
    "storage.objects.copy": _OBJECT_FIELDS,
    "storage.objects.rewrite": {},
    "storage.objects.compose": {
        "sourceObjects": [
            {"name": _OBJECT, "generation": "1", "objectPreconditions": {"ifGenerationMatch": "1"}}
        ],
        "destination": {"contentType": "text/plain", "metadata": {"a": "b"}},
    },
}
_PATH_VALUES = {
    "bucket": BUCKET,
    "destinationBucket": BUCKET,
    "sourceBucket": BUCKET,
    "object": _OBJECT,
    "sourceObject": _OBJECT,
    "destinationObject": "composed",
    "projectId": "p",
    "location": _REGION,
}
_FACTS = (
    ("/emulator/jobs/{jobId}/messages", ("before", "limit", "text", "minimumImportance")),
    ("/emulator/jobs/{jobId}/history", ()),
    ("/emulator/jobs/{jobId}/launch", ()),
    ("/emulator/progress", ("jobId",)),
)
_GOOD_QUERY = {
    "pageToken": "MXwyfDM=",
    "project": "p",
    "pageSize": "3",
    "maxResults": "3",
    "prefix": "fold",
    "delimiter": "/",
    "matchGlob": "**/*.txt",
    "startTime": "2026-01-01T00:00:00Z",
    "gcsPath": f"gs://{BUCKET}/{_OBJECT}",
    "alt": "media",
    "name": "made",
}
_RANGES = ("bytes=0-3", "bytes=-1", "bytes=2-", "bytes=5-2", f"bytes={'9' * 5000}-", "lines=1")
_CONTENT_RANGES = ("bytes 0-2/3", "bytes */*", f"bytes 0-{'9' * 5000}/*", "bytes 9-1/2", "x")


class Apis:
    """A server of both APIs, and the connections to it."""

    def __init__(self, folder):
        self._stack = contextlib.ExitStack()
        self._document = load_discovery()
        self._storage_methods = _storage_methods()
        self._store = ObjectStore(Path(folder, "storage"))
        self._stack.callback(self._store.close)
        self._jobs = JobStore(Path(folder, "jobs.sqlite3"))
        self._stack.callback(self._jobs.close)
        self._history = JobHistory(Path(folder, "history.sqlite3"))
        self._stack.callback(self._history.close)
        self._job_ids = ["2026-11-22_06_27_19-1"]
        self._connections = {}
        self._tracebacks = Tracebacks()
        self._stack.callback(logging.getLogger().removeHandler, self._tracebacks)
        logging.getLogger().addHandler(self._tracebacks)
        self._ports = self._serve()

    @property
    def endpoints(self):
        """The addresses of Dataflow, which ends with a slash, and of Cloud Storage."""
        port = self._ports["storage"]
        return f"http://localhost:{self._ports['dataflow']}/", f"http://localhost:{port}"

    def write(self, name, content):
        """Store an object in ``BUCKET``."""
        self._refill()
        self._store.write(BUCKET, name, content)

    def close(self):
        self._stack.close()

    def check(self, seed, number):
        """Send one request, then request the listings.

        Raises:
            AssertionError: an answer that no client expects, or a traceback.
        """
        rng = random.Random(f"{seed}-{number}")
        self._refill()
        service, verb, path, headers, body = self._make_request(rng)
        try:
            status, answer = self._send(service, verb, path, headers, body)
        except (OSError, http.client.HTTPException):
            self._connections.clear()
            raise
        shown = f"{verb} {path[:300]} {headers} {body[:300]!r}"
        assert 200 <= status < 500 or status == 501, f"{status} {answer[:600]!r} for {shown}"
        if service == "dataflow" and status == 200 and "job" in json.loads(answer):
            self._job_ids = [*self._job_ids[-5:], json.loads(answer)["job"]["id"]]
        for service, path in (
            ("storage", "/storage/v1/b?project=p"),
            ("storage", f"/storage/v1/b/{BUCKET}/o?maxResults=20"),
            ("dataflow", f"/v1b3/projects/p/locations/{_REGION}/jobs?pageSize=20"),
        ):
            status, answer = self._send(service, "GET", path, {}, b"")
            assert status == 200, f"then GET {path}: {status} {answer[:300]!r}, after {shown}"
            json.loads(answer)
        assert not self._tracebacks.texts, f"{self._tracebacks.texts.pop()}\nafter {shown}"

    def _make_request(self, rng):
        if rng.random() < 0.5:
            return self._make_dataflow_request(rng)
        if rng.random() < 0.1:
            return self._make_batch(rng)
        return self._make_storage_request(rng)

    def _make_dataflow_request(self, rng):
        if rng.random() < 0.05:
            template, query = rng.choice(_FACTS)
            path = self._make_path(rng, template) + self._make_query(rng, query)
            return "dataflow", "GET", path, {}, b""
        methods = self._document.methods
        pool = list(DATAFLOW_OPERATIONS) if rng.random() < 0.9 else list(methods)
        method = methods[rng.choice(pool)]
        path = self._make_path(rng, method.path)
        query = self._make_query(rng, method.query)
        short = method.id.rpartition("projects.")[2].removeprefix("locations.")
        good = _BODIES.get(method.id) or _BODIES.get(short, {})
        body = _make_body(rng, good) if method.request else b""
        return "dataflow", method.http_method, path + query, _json_headers(rng), body

    def _make_storage_request(self, rng):
        ids = sorted(IMPLEMENTED) if rng.random() < 0.9 else sorted(self._storage_methods)
        method_id = rng.choice(ids)
        verb, template, parameters = self._storage_methods[method_id]
        path = self._make_path(rng, template)
        required = {"project": "p"} if "project" in parameters else {}
        query = self._make_query(rng, parameters, required)
        headers, body = _json_headers(rng), _make_body(rng, _BODIES.get(method_id, {}))
        root = rng.choice(("/storage/v1/", "/storage/v1/", "/download/storage/v1/"))
        if verb == "GET":
            body, headers = b"", {"Range": rng.choice(_RANGES)} if rng.random() < 0.5 else {}
        if method_id == "storage.objects.insert":
            root = "/upload/storage/v1/"
            verb, query, headers, body = self._make_upload(rng, body)
        return "storage", verb, root + path + query, headers, body

    def _make_upload(self, rng, resource):
        kind = rng.choice(("media", "multipart", "resumable", "continue", "none"))
        name = _quote(spoil_text(rng, "made") if rng.random() < 0.3 else "made")
        if kind == "multipart":
            body = b"--b\r\nContent-Type: application/json\r\n\r\n" + resource
            body += b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nmedia\r\n--b--\r\n"
            body = spoil_bytes(rng, body) if rng.random() < 0.3 else body
            headers = {"Content-Type": "multipart/related; boundary=b"}
            return "POST", "?uploadType=multipart", headers, body
        if kind == "continue":
            headers = {"Content-Range": rng.choice(_CONTENT_RANGES)}
            return "PUT", "?uploadType=resumable&upload_id=" + self._start_upload(), headers, b"abc"
        hashes = {"X-Goog-Hash": _one_line(spoil_text(rng, "md5=a"))}
        query = f"?uploadType={kind}&name={name}"
        return "POST", query, hashes if rng.random() < 0.2 else {}, resource

    def _start_upload(self):
        path = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=resumed"
        _, _, headers = self._exchange("storage", "POST", path, {}, b"")
        return headers["Location"].rpartition("=")[2]

    def _make_batch(self, rng):
        parts = []
        for _ in range(rng.choice((1, 1, 3))):
            _, verb, path, _, body = self._make_storage_request(rng)
            url = spoil_text(rng, path) if rng.random() < 0.3 else path
            url = rng.choice((url, url, "http://[::1", "//[", "http://a:b/storage/v1/b"))
            head = f"Content-Type: application/http\r\nContent-ID: <{rng.random()}>\r\n\r\n"
            line = f"{verb} {url} HTTP/1.1\r\n\r\n".encode("utf-8", "surrogatepass")
            parts.append(b"--b\r\n" + head.encode() + line + body + b"\r\n")
        body = b"".join([*parts, b"--b--\r\n"])
        if rng.random() < 0.2:
            body = spoil_bytes(rng, body)
        headers = {"Content-Type": "multipart/mixed; boundary=b"}
        return "storage", "POST", "/batch/storage/v1", headers, body

    def _make_path(self, rng, template):
        return re.sub(r"{\+?(\w+)}", lambda found: self._path_value(rng, found[1]), template)

    def _path_value(self, rng, name):
        value = rng.choice(self._job_ids) if name == "jobId" else _PATH_VALUES.get(name, "x")
        if rng.random() < 0.15:
            if rng.random() < 0.2:
                return rng.choice(("%ff", "%zz", "%ed%a0%80", "%00", "..", "%2e%2e", "%2F"))
            value = spoil_text(rng, value)
        return _quote(value)

    def _make_query(self, rng, parameters, required=None):
        chosen = dict(required or {})
        for name in parameters:
            if rng.random() < 0.25:
                good = _GOOD_QUERY.get(name, rng.choice(("1", "true", "x")))
                chosen[name] = spoil_text(rng, good) if rng.random() < 0.5 else good
        if rng.random() < 0.05:
            chosen[spoil_text(rng, "pageSize")] = "1"
        if rng.random() < 0.3:
            chosen["alt"] = rng.choice(("json", "media", "json;enum-encoding=int", "proto"))
        if not chosen:
            return ""
        return "?" + "&".join(f"{_quote(name)}={_quote(value)}" for name, value in chosen.items())

    def _send(self, service, verb, path, headers, body):
        status, answer, _ = self._exchange(service, verb, path, headers, body)
        return status, answer

    def _exchange(self, service, verb, path, headers, body):
        if service not in self._connections:
            self._connections[service] = http.client.HTTPConnection(
                "localhost", self._ports[service], timeout=TIMEOUT_SEC
            )
        connection = self._connections[service]
        connection.request(verb, path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        if response.will_close:
            del self._connections[service]
            raise AssertionError(f"{response.status}, and the connection closes: {answer!r}")
        return response.status, answer, response.headers

    def _refill(self):
        """Restore objects that requests need and earlier ones may have deleted."""
        with contextlib.suppress(Conflict):
            self._store.create_bucket(BUCKET)
        self._store.write(BUCKET, _OBJECT, b"bytes of an object")

    def _serve(self):
        faults = FaultQueue([*self._document.methods, *MethodTable().ids])
        methods = Methods(
            jobs=self._jobs,
            store=self._store,
            runner=_IdleRunner(),
            messages=self._document.messages,
            faults=faults,
        )
        self._stack.callback(methods.close)
        dataflow = build_dataflow_app(
            discovery=self._document,
            dispatch=functools.partial(answer_call, methods),
            faults=faults,
            routes=[
                *metadata_routes(project_id="p", zone=f"{_REGION}-a"),
                *job_facts_routes(self._jobs, self._history),
            ],
            check_responses=True,
        )
        storage = build_storage_app(self._store)
        apps = {
            "dataflow": LocalOnly(GzipRequests(dataflow), metadata_server=True),
            "storage": LocalOnly(GzipRequests(storage)),
        }
        return {
            name: self._stack.enter_context(serve_app(app, http=Connection, log_config=None))
            for name, app in apps.items()
        }


class _IdleRunner:
    """Runs nothing; a job keeps its state until it is cancelled."""

    def launch(self, job_id, launch):
        pass

    def execute(self, job_id, job):
        pass

    def drain(self, job_id):
        pass

    def cancel(self, job_id):
        pass


def _storage_methods():
    """Return verb, path and names of the query parameters of each method, by its id."""
    documents = Path(discovery_cache.__file__).parent / "documents"
    document = json.loads((documents / "storage.v1.json").read_text())

    def walk(resource):
        for method in resource.get("methods", {}).values():
            named = method.get("parameters", {}).items()
            query = [name for name, value in named if value["location"] == "query"]
            yield method["id"], (method["httpMethod"], method["path"], query)
        for inner in resource.get("resources", {}).values():
            yield from walk(inner)

    return dict(walk(document))


def _make_body(rng, good):
    body = spoil_json(rng, good)
    return spoil_bytes(rng, body) if rng.random() < 0.2 else body


def _json_headers(rng):
    kinds = ("application/json", "application/json", "text/plain", "x", "")
    encoding = {"Content-Encoding": "gzip"} if rng.random() < 0.05 else {}
    return {"Content-Type": rng.choice(kinds), **encoding}


def _quote(text):
    """Return a text encoded for a URL, of a length that HTTP servers accept."""
    return urllib.parse.quote(text[:_LONGEST_TEXT].encode("utf-8", "surrogatepass"), safe="")


def _one_line(text):
    return "".join(letter for letter in text if " " <= letter <= "~")[:2000]
