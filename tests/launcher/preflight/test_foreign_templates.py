"""Specs and metadata as others write them; anything that works for them is not an ERROR."""

from __future__ import annotations

import json

import pytest

from launcher import FlexTemplateRuntimeEnvironment, Severity
from launcher.package.spec import parse_spec
from launcher.preflight.parameters import check_parameters
from launcher.preflight.spec import check_metadata_file, check_spec_text

GCS = "^gs:\\/\\/[^\\n\\r]+$"
OLD_METADATA = {
    "_comment": "Comments are passed over.",
    "name": "Words",
    "description": "As the first templates were written.",
    "parameters": [
        {
            "name": "input-path",
            "label": "Input",
            "helpText": "Where the words are.",
            "regexes": [GCS],
        },
        {
            "name": "output_table",
            "label": "Table",
            "helpText": "Where they go.",
            "is_optional": True,
            "regexes": ["[^:]+:[^.]+[.].+"],
        },
        {"name": "count", "label": "Count", "helpText": "How many.", "isOptional": True}
        | {"regexes": ["[0-9]+"], "paramType": "TEXT"},
        {"name": "ranges", "label": "Ranges", "helpText": "Odd ranges.", "isOptional": True}
        | {"regexes": ["[/:-_.a-zA-Z0-9]+"]},
    ],
}
GENERATED_METADATA = {
    "name": "Subscription to table",
    "description": "As a generator writes them.",
    "streaming": True,
    "supportsAtLeastOnce": True,
    "supportsExactlyOnce": True,
    "defaultStreamingMode": "UNSPECIFIED",
    "mainClass": "com.example.Template",
    "category": {"name": "STREAMING", "displayName": "Streaming"},
    "internalName": "Sub_to_Table",
    "module": "v2",
    "documentationLink": "https://cloud.google.com/dataflow/docs",
    "googleReleased": False,
    "requirements": ["The subscription must exist."],
    "flexTemplate": True,
    "hidden": False,
    "parameters": [
        {
            "name": "mode",
            "groupName": "Target",
            "parentName": "table",
            "parentTriggerValues": ["a:b.c"],
            "label": "Mode",
            "helpText": "How to write.",
            "isOptional": True,
            "enumOptions": [{"value": "APPEND"}, {"value": "EMPTY", "label": "Empty"}],
            "paramType": "ENUM",
            "defaultValue": "APPEND",
            "hiddenUi": True,
        },
        {
            "name": "table",
            "label": "Table",
            "helpText": "Where to.",
            "regexes": [".+:.+\\..+"],
            "paramType": "BIGQUERY_TABLE",
        },
        {
            "name": "deadLetters",
            "label": "Dead letters",
            "helpText": "No default is written as an empty one, which its regex refuses.",
            "isOptional": True,
            "regexes": [GCS],
            "paramType": "GCS_WRITE_FOLDER",
            "defaultValue": "",
        },
        {
            "name": "spec",
            "label": "Spec",
            "helpText": "With the character classes of POSIX.",
            "isOptional": True,
            "regexes": ["^[[:alnum:]_-]+:[[:alnum:]_-]+\\.[[:alnum:]_-]+$"],
        },
    ],
}
SPECS = [
    {
        "image": "gcr.io/my-project/words:2020-01",
        "sdk_info": {"language": "PYTHON", "version": "3.7"},
        "metadata": OLD_METADATA,
    },
    {
        "image": "gcr.io/my-project/words",
        "sdkInfo": {"language": "JAVA"},
        "metadata": GENERATED_METADATA,
        "defaultEnvironment": {
            "additionalUserLabels": {"goog-dataflow-provided-template-name": "words"},
            "additionalExperiments": ["streaming_mode_at_least_once"],
        },
    },
    {"image": "gcr.io/my-project/words:1", "sdkInfo": {"language": "GO"}, "defaultEnvironment": {}},
    {
        "image": "gcr.io/my-project/words:1",
        "sdkInfo": {"language": "PYTHON"},
        "metadata": {key: value for key, value in OLD_METADATA.items() if key != "name"},
    },
]


def errors(findings):
    return [finding for finding in findings if finding.severity is Severity.ERROR]


@pytest.mark.parametrize("spec", SPECS, ids=["old", "generated", "bare", "nameless"])
def test_a_spec_of_others_has_no_error(spec):
    assert errors(check_spec_text(json.dumps(spec))) == []


@pytest.mark.parametrize("metadata", [OLD_METADATA, GENERATED_METADATA], ids=["old", "generated"])
def test_metadata_of_others_has_no_error(metadata, tmp_path):
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps(metadata))
    assert errors(check_metadata_file(path)) == []


def test_an_old_name_of_a_field_is_a_warning_and_counts():
    spec = parse_spec(json.dumps(SPECS[0]))
    assert spec.sdk_info.version == "3.7"
    assert check_parameters(spec.metadata, {"input-path": "gs://bb/c"}) == []
    messages = [finding.message for finding in check_spec_text(json.dumps(SPECS[0]))]
    assert (
        "metadata.parameters[1].is_optional: the REST API writes 'isOptional', and gcloud does "
        "not read any other spelling" in messages
    )


def test_the_keys_of_labels_are_data():
    document = SPECS[1] | {"default_environment": {"additional_user_labels": {"my_team": "ml"}}}
    del document["defaultEnvironment"]
    spec = parse_spec(json.dumps(document))
    assert spec.default_environment == FlexTemplateRuntimeEnvironment(
        additional_user_labels={"my_team": "ml"}
    )


def test_character_classes_are_read_as_egrep_reads_them():
    metadata = parse_spec(json.dumps(SPECS[1])).metadata
    given = {"table": "a:b.c"}
    assert check_parameters(metadata, {**given, "spec": "my-project:data_set.rows9"}) == []
    (found,) = check_parameters(metadata, {**given, "spec": "my project:data.rows"})
    assert found.code == "parameter-regex"
