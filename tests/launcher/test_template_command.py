"""``flexpack template`` against the local Dataflow."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request

import pytest

from launcher.commands.template import example_parameters
from template.parameters import TEMPLATES
from tests.support import run

BUCKET = "flexpack-template-command"


@pytest.fixture(scope="module")
def bucket(emulator_env):
    request = urllib.request.Request(
        f"{emulator_env['STORAGE_EMULATOR_HOST']}/storage/v1/b?project=p",
        data=json.dumps({"name": BUCKET}).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=10).close()
    return BUCKET


def read_spec(emulator_env, name):
    path = urllib.parse.quote(f"templates/{name}.json", safe="")
    host = emulator_env["STORAGE_EMULATOR_HOST"]
    with urllib.request.urlopen(f"{host}/storage/v1/b/{BUCKET}/o/{path}?alt=media") as answer:
        return json.load(answer)


def test_every_template_is_made(bucket, emulator_env):
    done = run("flexpack", "template", "--bucket", bucket, env=emulator_env)
    assert "local/flexpack stands for this environment" in done.stdout
    for template in TEMPLATES:
        spec = read_spec(emulator_env, template.name)
        assert spec["image"] == "local/flexpack"
        assert spec["defaultEnvironment"]["sdkContainerImage"] == "local/flexpack"
        assert f"gs://{bucket}/templates/{template.name}.json" in done.stdout
    assert "console.cloud.google.com" not in done.stdout


def test_the_workers_run_the_image_that_is_given(bucket, emulator_env):
    image = f"europe-west1-docker.pkg.dev/p/r/flexpack@sha256:{'a' * 64}"
    run("flexpack", "template", f"--bucket=gs://{bucket}/", f"--image={image}", env=emulator_env)
    spec = read_spec(emulator_env, TEMPLATES[0].name)
    assert spec["image"] == spec["defaultEnvironment"]["sdkContainerImage"] == image


def test_the_python_lines_run(bucket, emulator_env):
    """They are run as they are printed, up to the request: there is no such input."""
    done = run("flexpack", "template", "--bucket", bucket, env=emulator_env)
    lines = done.stdout.partition("from Python:\n")[2].partition("wait_for_job(dataflow, job.id)")
    program = f"{lines[0].strip()}\nprint(config.parameters)\n"
    program = program.replace("job = dataflow.launch(", "dataflow.dry_run(")
    shown = run("python", "-c", program, env=emulator_env)
    assert shown.stdout.strip() == str(example_parameters(TEMPLATES[0]))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_the_examples_are_values_that_the_template_takes(template):
    for name, value in example_parameters(template).items():
        assert template.find_parameter(name).parse(value)
