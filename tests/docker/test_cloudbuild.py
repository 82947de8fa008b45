"""docker/cloudbuild.yaml, as the real gcloud sends it to Cloud Build."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import tarfile
import urllib.parse
import urllib.request
from pathlib import Path

import google_crc32c
import pytest

from launcher.image.context import find_context_files, read_context
from launcher.image.engines.cloud_build import build_command
from launcher.image.plan import BuildPlan
from tests.schemas import Schemas
from tests.servers import QuietHandler, serve_handler
from tests.support import PROJECT, PROJECT_ROOT, run

pytestmark = [
    pytest.mark.gcloud,
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed"),
]
NAME = "europe-west1-docker.pkg.dev/my-project/flexpack/flexpack"
REFUSAL = {"error": {"code": 400, "message": "not built here", "status": "INVALID_ARGUMENT"}}


@pytest.fixture(scope="module")
def builds():
    """A Cloud Build that refuses everything; yields its port and the requests that it got."""
    asked = []

    class Door(QuietHandler):
        def do_POST(self):
            asked.append((self.path.partition("?")[0], json.loads(self.read_body())))
            self.answer(400, json.dumps(REFUSAL).encode())

    with serve_handler(Door) as port:
        yield port, asked


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project that contains more than goes into an image."""
    root = tmp_path_factory.mktemp("project")
    for folder in ("docker", "template"):
        shutil.copytree(PROJECT_ROOT / folder, root / folder)
    for name in (
        "key.json",
        "weights.pth",
        "docker/notes.txt",
        "template/models/__pycache__/a.pyc",
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(name)
    return root


@pytest.fixture(scope="module")
def build(builds, emulator_env, root, tmp_path_factory):
    """The build that ``make image ENGINE=cloudbuild`` requests."""
    port, asked = builds
    folder = tmp_path_factory.mktemp("context")
    plan = BuildPlan(
        kit=root,
        reference=f"{NAME}:1.0",
        build_args={"FLAVOUR": "cu130"},
        labels={"version": "1.0"},
        context=read_context(root, (), {}),
        pip_conf_secret="our-index",
    )
    endpoint = {"CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBUILD": f"http://localhost:{port}/"}
    plan.context.write(folder)
    done = run(*build_command(plan, folder), env=emulator_env | endpoint, status=1)
    assert "not built here" in done.stderr
    ((path, body),) = asked
    assert path == "/v1/projects/my-project/locations/global/builds"
    return body


def test_the_official_schema_knows_all_of_it(build):
    assert Schemas("cloudbuild.v1").find_problems("Build", build) == []


def test_the_substitutions_are_what_the_plan_says(build):
    assert build["substitutions"] == {
        "_IMAGE": f"{NAME}:1.0",
        "_CACHE": f"{NAME}:buildcache",
        "_FLAGS": "--build-arg=FLAVOUR=cu130 --label=version=1.0",
        "_PIP_CONF_SECRET": "our-index",
    }


def test_what_the_image_is_made_of_is_uploaded_and_nothing_else(build, emulator_env, root):
    source = build["source"]["storageSource"]
    name = urllib.parse.quote(source["object"], safe="")
    host = emulator_env["STORAGE_EMULATOR_HOST"]
    address = f"{host}/storage/v1/b/{source['bucket']}/o/{name}?alt=media"
    with urllib.request.urlopen(address, timeout=10) as answer:
        archive = io.BytesIO(answer.read())
    with tarfile.open(fileobj=archive) as tar:
        names = {Path(member.name) for member in tar if member.isfile()}
    assert names == set(find_context_files(root))


def test_every_substitution_is_used_and_every_one_that_is_used_is_there(build):
    """Cloud Build refuses anything else."""
    scripts = "".join(step["args"][-1] for step in build["steps"])
    used = set(re.findall(r"(?<!\$)\$(_[A-Z_]+)", scripts))
    assert used == set(build["substitutions"])


def read_script(build, step, **values):
    """Return the script of a step, with the substitutions done."""
    assert (step["entrypoint"], step["args"][0]) == ("bash", "-euc")
    values = build["substitutions"] | values
    text = re.sub(r"\$(_[A-Z_]+)", lambda name: values[name[1]], step["args"][1])
    return text.replace("$$", "$")


def test_the_steps_are_what_a_shell_can_read(build):
    texts = [read_script(build, step) for step in build["steps"]]
    for text in texts:
        subprocess.run(["bash", "-n", "-euc", text], check=True, timeout=10)
    assert f"--label=version=1.0 $secret --tag={NAME}:1.0 --push" in texts[1]
    assert '"$BUILDER_OUTPUT/output"' in texts[1]


@pytest.mark.parametrize("secret", ["", "our-index"])
def test_pips_configuration_comes_from_secret_manager_if_one_is_named(build, tmp_path, secret):
    """The steps, run with programs that record how they were called."""
    for program in ("gcloud", "docker"):
        path = tmp_path / program
        path.write_text('#!/bin/sh\necho "$(basename "$0") $*" >> calls\n')
        path.chmod(0o755)
    (tmp_path / "metadata.json").write_text(f'{{"containerimage.digest": "sha256:{"a" * 64}"}}')
    for step in build["steps"]:
        subprocess.run(
            ["bash", "-euc", read_script(build, step, _PIP_CONF_SECRET=secret)],
            cwd=tmp_path,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "BUILDER_OUTPUT": str(tmp_path)},
            check=True,
            timeout=10,
        )
    calls = (tmp_path / "calls").read_text()
    read = "gcloud secrets versions access latest --secret=our-index --out-file=pip.conf\n"
    assert (read in calls) == bool(secret)
    assert ("--secret=id=pip_conf,src=pip.conf" in calls) == bool(secret)
    assert (tmp_path / "output").read_text() == f"sha256:{'a' * 64}\n"


def test_gcloud_writes_the_secret_to_where_the_build_reads_it(build, emulator_env, tmp_path):
    """The first step with the real gcloud; Secret Manager is a server that holds one secret."""
    content = b"[global]\nextra-index-url = https://pypi.example.com/simple\n"
    secret = f"/v1/projects/{PROJECT}/secrets/our-index/versions/latest:access"

    class SecretManager(QuietHandler):
        def do_GET(self):
            if self.path.partition("?")[0] != secret:
                self.answer(404, b"{}")
                return
            payload = {
                "data": base64.b64encode(content).decode(),
                "dataCrc32c": str(google_crc32c.value(content)),
            }
            self.answer(200, json.dumps({"name": "projects/1", "payload": payload}).encode())

    with serve_handler(SecretManager) as port:
        endpoint = f"http://localhost:{port}/"
        subprocess.run(
            ["bash", "-euc", read_script(build, build["steps"][0])],
            cwd=tmp_path,
            env=emulator_env | {"CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER": endpoint},
            check=True,
            timeout=120,
        )
    assert (tmp_path / "pip.conf").read_bytes() == content
