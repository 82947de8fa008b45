"""``flexpack template`` against the local Dataflow."""

from __future__ import annotations

import json
import re
import shutil
import urllib.parse
import urllib.request

import pytest

from launcher.image.plan import ImageOptions, plan_build
from launcher.image.record import BuiltImage, remember_image
from launcher.image_reference import build_artifact_registry_name
from launcher.package.metadata import build_example_parameters
from template.parameters import TEMPLATES
from tests.support import PROJECT_ROOT, open_storage, run

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


def test_templates_for_one_model(bucket, emulator_env):
    model = "tests.template.needs.option_models:EveryOption"
    done = run("flexpack", "template", "--bucket", bucket, "--model-class", model, env=emulator_env)
    assert "Batch predictions with EveryOption" in done.stdout
    assert "model_class" not in done.stdout
    for template in TEMPLATES:
        spec = read_spec(emulator_env, template.name)
        names = {each["name"] for each in spec["metadata"]["parameters"]}
        assert {"threshold", "top_k", "head", "half", "note", "who"} < names
        assert not names & {"model_class", "model_opts"}
        environment = spec["defaultEnvironment"]
        assert environment["additionalPipelineOptions"] == [f"model_class={model}"]
        label = "tests-template-needs-option_models-everyoption"
        assert environment["additionalUserLabels"] == {"flexpack-model": label}


@pytest.fixture
def project_env(bucket, emulator_env):
    """A shell that would launch in a real Google project; only its storage is local."""
    dataflow = "CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW"
    return {name: value for name, value in emulator_env.items() if name != dataflow}


def test_in_a_project_the_spec_has_the_digest_of_the_image_that_was_pushed(
    bucket, emulator_env, project_env, tmp_path
):
    for folder in ("docker", "template"):
        shutil.copytree(PROJECT_ROOT / folder, tmp_path / folder)
    name = build_artifact_registry_name("europe-west1", "my-project", "flexpack")
    plan = plan_build(tmp_path, ImageOptions(name=name, tag="1.0"))
    image = BuiltImage(
        reference=plan.reference,
        build_args=plan.build_args,
        labels=plan.labels,
        context=plan.context.hash,
        engine="docker",
        digest=f"sha256:{'b' * 64}",
        disk_size_gb=70,
    )
    remember_image(tmp_path, image)
    place = ("--project=my-project", "--region=europe-west1")
    done = run(
        *("flexpack", "template", "--bucket", bucket, "--tag=1.0", *place),
        env=project_env,
        cwd=tmp_path,
    )
    assert f"{name}:1.0 has already been pushed." in done.stdout
    assert "dataflow/createjob?project=my-project" in done.stdout
    for template in TEMPLATES:
        spec = read_spec(emulator_env, template.name)
        assert spec["image"] == spec["defaultEnvironment"]["sdkContainerImage"] == image.pinned
        assert spec["defaultEnvironment"]["diskSizeGb"] == image.disk_size_gb


def test_a_missing_bucket_is_reported_before_an_image_is_built(bucket, project_env, tmp_path):
    done = run(
        *("flexpack", "template", "--bucket=not-there", "--project=my-project"),
        env=project_env,
        cwd=tmp_path,
        status=2,
    )
    assert done.stdout == ""
    assert "--bucket gs://not-there/templates: there is no bucket 'not-there'" in done.stderr


def test_code_that_would_be_in_no_image_is_refused(bucket, emulator_env, project_env):
    command = ("flexpack", "template", f"--bucket={bucket}", "--code=churn")
    done = run(*command, env=emulator_env, status=2)
    assert "--code churn: builds an image, and the local Dataflow needs none" in done.stderr
    assert "'flexpack emulator register NAME --code churn', then --image local/NAME" in done.stderr
    done = run(*command, "--image=a.b/c:1.0", env=project_env, status=2)
    assert "--code churn: builds an image, and --image a.b/c:1.0 names one" in done.stderr


def test_an_image_by_tag_is_warned_of(bucket, project_env):
    done = run("flexpack", "template", f"--bucket={bucket}", "--image=a.b/c:1.0", env=project_env)
    assert "warning: --image a.b/c:1.0: a tag may move" in done.stderr


@pytest.fixture(scope="module")
def launches(bucket, emulator, emulator_env, garments):
    """The two ways to launch the batch template, as printed; the examples' files exist."""
    done = run("flexpack", "template", "--bucket", bucket, env=emulator_env)
    block = done.stdout.partition(TEMPLATES[0].title)[2].partition(f"\n\n{TEMPLATES[1].title}")[0]
    _, shell, gcloud = re.split(r"(?:of your own|with gcloud):\n", block)
    files = open_storage(emulator).bucket(bucket)
    files.blob(f"in/{garments.images.name}").upload_from_filename(garments.images)
    files.blob("model.pth").upload_from_filename(garments.weights)
    return {"shell": shell, "gcloud": gcloud}


@pytest.mark.parametrize(
    ("way", "interpreter"),
    [
        ("shell", "bash"),
        pytest.param("gcloud", "bash", marks=pytest.mark.gcloud),
    ],
)
def test_what_is_printed_launches_a_job_as_it_stands(launches, emulator_env, way, interpreter):
    if way == "gcloud" and shutil.which("gcloud") is None:
        pytest.skip("gcloud is not installed")
    before = list_jobs(emulator_env)
    run(interpreter, "-c", launches[way], env=emulator_env)
    (job,) = list_jobs(emulator_env) - before
    done = run("flexpack", "jobs", "wait", job, env=emulator_env)
    assert "1,000 rows read, 1,000 predictions" in done.stdout


def list_jobs(emulator_env):
    return set(
        re.findall(r"^\d{4}-\S+", run("flexpack", "jobs", "list", env=emulator_env).stdout, re.M)
    )


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_the_examples_are_values_that_the_template_takes(template):
    parameters = {parameter.name: parameter for parameter in template.parameters}
    for name, value in build_example_parameters(
        template, bucket="my-bucket", project="my-project"
    ).items():
        assert parameters[name].parse(value)
