"""docker/cloudbuild.yaml, as the real gcloud sends it to Cloud Build."""

from __future__ import annotations

import importlib.resources
import json
import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from launcher.emulator.service.schema import Messages
from launcher.image.engines.cloud_build import build_command
from launcher.image.plan import BuildPlan
from tests.support import PROJECT_ROOT, run

pytestmark = [
    pytest.mark.gcloud,
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed"),
]
NAME = "europe-west1-docker.pkg.dev/my-project/flexpack/flexpack"
REFUSAL = {"error": {"code": 400, "message": "not built here", "status": "INVALID_ARGUMENT"}}


@pytest.fixture(scope="module")
def builds():
    """Cloud Build's door, which refuses all; yields its port and what it was asked for."""
    asked = []

    class Door(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path.partition("?")[0], json.loads(body)))
            self.send_response(400)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(REFUSAL).encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("localhost", 0), Door) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, asked
        server.shutdown()


@pytest.fixture(scope="module")
def build(builds, emulator_env, tmp_path_factory):
    """The build that ``make image ENGINE=cloudbuild`` asks for."""
    port, asked = builds
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(PROJECT_ROOT / "docker", root / "docker")
    plan = BuildPlan(
        root=root,
        reference=f"{NAME}:1.0",
        build_args={"FLAVOUR": "cu130"},
        labels={"version": "1.0"},
        context="abc",
    )
    endpoint = {"CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBUILD": f"http://localhost:{port}/"}
    done = run(*build_command(plan), env=emulator_env | endpoint, status=1)
    assert "not built here" in done.stderr
    ((path, body),) = asked
    assert path == "/v1/projects/my-project/locations/global/builds"
    return body


def test_the_official_schema_knows_all_of_it(build):
    documents = importlib.resources.files("googleapiclient.discovery_cache") / "documents"
    document = json.loads((documents / "cloudbuild.v1.json").read_text())
    Messages(document["schemas"]).check("Build", build)


def test_the_substitutions_are_what_the_plan_says(build):
    assert build["substitutions"] == {
        "_IMAGE": f"{NAME}:1.0",
        "_CACHE": f"{NAME}:buildcache",
        "_FLAGS": "--build-arg=FLAVOUR=cu130 --label=version=1.0",
    }


def test_every_substitution_is_used_and_every_one_that_is_used_is_there(build):
    """Cloud Build refuses anything else."""
    (step,) = build["steps"]
    used = set(re.findall(r"(?<!\$)\$(_[A-Z_]+)", step["args"][-1]))
    assert used == set(build["substitutions"])


def test_the_step_is_what_a_shell_can_read(build):
    (step,) = build["steps"]
    assert (step["entrypoint"], step["args"][0]) == ("bash", "-euc")
    text = re.sub(r"\$(_[A-Z_]+)", lambda name: build["substitutions"][name[1]], step["args"][1])
    text = text.replace("$$", "$")
    subprocess.run(["bash", "-n", "-euc", text], check=True, timeout=10)
    assert f"--label=version=1.0 --tag={NAME}:1.0 --push" in text
    assert '"$BUILDER_OUTPUT/output"' in text
