"""The container spec, compared with gcloud's, and the mistakes of other specs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace

import pytest

from launcher import (
    EnvironmentOptions,
    ParameterMetadata,
    SpecError,
    TemplateMetadata,
    build_container_spec,
    build_environment,
    build_template_metadata,
)
from launcher.google.rest import to_rest
from launcher.package.metadata import format_json
from launcher.package.spec import format_spec, parse_spec
from template.parameters import BATCH

METADATA = build_template_metadata(BATCH)
IMAGE = "us-central1-docker.pkg.dev/my-project/repo/batch@sha256:" + "0" * 64

# What ``flexpack`` adds to gcloud's spec, and nothing else.
ADDED = {"defaultEnvironment": "sdkContainerImage", "metadata": "streaming"}

# Options as gcloud's flags and as flexpack's.
ENVIRONMENTS = {
    "none": ([], EnvironmentOptions()),
    "all": (
        [
            "--additional-experiments=a,b=c",
            "--additional-user-labels=team=ml,cost=low",
            "--dataflow-kms-key=projects/p/locations/l/keyRings/r/cryptoKeys/k",
            "--disable-public-ips",
            "--enable-streaming-engine",
            "--max-workers=8",
            "--network=net",
            "--num-workers=2",
            "--service-account-email=me@p.iam.gserviceaccount.com",
            "--staging-location=gs://my-bucket/staging",
            "--subnetwork=regions/us-central1/subnetworks/s",
            "--worker-machine-type=g2-standard-4",
            "--worker-region=us-east1",
        ],
        EnvironmentOptions(
            additional_experiments=("a", "b=c"),
            additional_user_labels={"team": "ml", "cost": "low"},
            dataflow_kms_key="projects/p/locations/l/keyRings/r/cryptoKeys/k",
            disable_public_ips=True,
            enable_streaming_engine=True,
            max_workers=8,
            network="net",
            num_workers=2,
            service_account_email="me@p.iam.gserviceaccount.com",
            staging_location="gs://my-bucket/staging",
            subnetwork="regions/us-central1/subnetworks/s",
            worker_machine_type="g2-standard-4",
            worker_region="us-east1",
        ),
    ),
}


def build(**changes):
    return build_container_spec(**({"image": IMAGE, "metadata": METADATA} | changes))


@pytest.mark.gcloud
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not on PATH")
@pytest.mark.parametrize(("flags", "options"), ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_the_spec_is_gclouds_plus_what_gcloud_drops(tmp_path, flags, options):
    metadata_file = tmp_path / "metadata.json"
    metadata_file.write_text(format_json(to_rest(METADATA)))
    printed = subprocess.run(
        [
            *("gcloud", "dataflow", "flex-template", "build", "gs://my-bucket/batch.json"),
            *("--image", IMAGE, "--sdk-language=PYTHON", "--metadata-file", str(metadata_file)),
            *("--print-only", "--format=json", *flags),
        ],
        env={
            **os.environ,
            "CLOUDSDK_CONFIG": str(tmp_path),
            "CLOUDSDK_CORE_PROJECT": "my-project",
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        },
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    gclouds_text = json.loads(printed)

    ours = to_rest(build(default_environment=build_environment(options)))
    assert {
        (part, key)
        for part, value in ours.items()
        if isinstance(value, dict)
        for key in value.keys() - json.loads(gclouds_text).get(part, {}).keys()
    } == set(ADDED.items())
    for part, key in ADDED.items():
        del ours[part][key]
    assert format_json(ours) == gclouds_text


def test_workers_run_the_templates_image_by_default():
    assert build().default_environment.sdk_container_image == IMAGE
    environment = build_environment(EnvironmentOptions(sdk_container_image="other:1"))
    spec = build(default_environment=environment)
    assert spec.default_environment.sdk_container_image == "other:1"


def test_the_spec_is_of_the_official_schema(schemas):
    environment = build_environment(ENVIRONMENTS["all"][1])
    spec = json.loads(format_spec(build(default_environment=environment)))
    assert schemas.find_problems("ContainerSpec", spec) == []
    assert spec["sdkInfo"] == {"language": "PYTHON"}


def test_a_spec_is_read_as_it_was_written():
    spec = build(default_environment=build_environment(ENVIRONMENTS["all"][1]))
    assert parse_spec(format_spec(spec)) == spec


def test_specs_of_others_are_read():
    spec = parse_spec(
        '{"image": "i", "sdkInfo": {"language": "JAVA"}, "_comment": "x",'
        ' "metadata": {"name": "n", "parameters": [{"name": "a", "customKey": 1}]}}'
    )
    assert spec.metadata == TemplateMetadata(name="n", parameters=(ParameterMetadata(name="a"),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON: Expecting"),
        (b"\xff\xfe\xfa", "not JSON"),
        ("[]", "not a Flex Template's container spec: it names no image"),
        ('{"jobName": "classic"}', "it names no image. 'flexpack build' writes one"),
        ('{"image": "i"}', "container spec: sdkInfo: missing"),
        (
            '{"image": "i", "sdkInfo": {"language": "PYTHON"}, "metadata": {"parameters": [{}]}}',
            r"container spec: metadata.parameters\[0\].name: missing",
        ),
    ],
)
def test_what_is_no_spec_is_refused(text, message):
    with pytest.raises(SpecError, match=message):
        parse_spec(text)


def test_an_empty_image_is_refused():
    with pytest.raises(SpecError, match="--image ' ': expected"):
        build(image=" ")


def test_bad_metadata_is_refused_whole():
    parameter = ParameterMetadata(name="a", label="", help_text="h", parent_name="b")
    with pytest.raises(SpecError) as caught:
        build(metadata=replace(METADATA, parameters=(parameter, parameter)))
    assert "parameters: 'a' is declared 2 times" in str(caught.value)
    assert "parameter 'a': label is empty" in str(caught.value)
    assert "parameter 'a': parentName 'b' is not a parameter" in str(caught.value)
