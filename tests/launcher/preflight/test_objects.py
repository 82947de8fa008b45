"""Inputs, models and buckets that do not exist, found in a Cloud Storage before a launch."""

from __future__ import annotations

import pytest

from launcher.google.runtime_environment import FlexTemplateRuntimeEnvironment
from launcher.google.storage import find_blob
from launcher.package.metadata import ParameterMetadata, TemplateMetadata
from launcher.preflight.objects import check_objects
from launcher.preflight.subject import Launch

METADATA = TemplateMetadata(
    name="t",
    parameters=(
        ParameterMetadata(name="input", param_type="GCS_READ_FILE"),
        ParameterMetadata(name="folder", param_type="GCS_READ_FOLDER"),
        ParameterMetadata(name="watched", param_type="GCS_READ_FILE", is_optional=True),
        ParameterMetadata(name="output", param_type="GCS_WRITE_FILE"),
    ),
)


@pytest.fixture
def check(cloud):
    for name in ("in/part-0.csv", "in/part-1.csv", "models/churn.pth"):
        find_blob(f"gs://my-bucket/{name}", None).upload_from_string("x")

    def check_launch(**parameters):
        launch = Launch(
            project="my-project",
            region="us-central1",
            image="image:1",
            environment=FlexTemplateRuntimeEnvironment(),
            parameters=parameters,
            metadata=METADATA,
        )
        return [f"{each.severity} {each.code} {each.message}" for each in check_objects(launch)]

    return check_launch


@pytest.mark.parametrize(
    "parameters",
    [
        {"input": "gs://my-bucket/in/part-0.csv"},
        {"input": "gs://my-bucket/in/*.csv"},
        {"input": "gs://my-bucket/in/part-[0-9].csv"},
        {"input": "gs://my-bucket/in"},
        {"folder": "gs://my-bucket/in/"},
        {"folder": "gs://my-bucket/in/part-"},
        {"output": "gs://my-bucket/not/there/yet"},
        {"input": "/mnt/shared/rows.csv"},
    ],
    ids=lambda parameters: next(iter(parameters.values())),
)
def test_what_is_there_is_found(check, parameters):
    assert check(**parameters) == []


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"input": "gs://my-bucket/models/chrun.pth"},
            "ERROR object-missing --parameters input=gs://my-bucket/models/chrun.pth: there is no "
            "such object; did you mean 'models/churn.pth'?",
        ),
        (
            {"input": "gs://my-bucket/in/*.jsonl"},
            "ERROR object-missing --parameters input=gs://my-bucket/in/*.jsonl: no object matches",
        ),
        (
            {"watched": "gs://my-bucket/newer/*.pth"},
            "WARNING object-missing --parameters watched=gs://my-bucket/newer/*.pth: no object "
            "matches",
        ),
        (
            {"output": "gs://my-bukcet/out"},
            "ERROR bucket-missing --parameters output=gs://my-bukcet/out: there is no bucket "
            "'my-bukcet'; did you mean 'my-bucket'?",
        ),
    ],
    ids=["file", "pattern", "optional-pattern", "bucket"],
)
def test_not_there(check, parameters, message):
    (found,) = check(**parameters)
    assert found.startswith(message)


def test_a_missing_bucket_is_reported_once(check):
    assert len(check(input="gs://nowhere/a", output="gs://nowhere/b")) == 1
