"""Launch parameters against the template's metadata."""

from __future__ import annotations

import pytest

from launcher import (
    FlexTemplateRuntimeEnvironment,
    ParameterMetadata,
    Severity,
    TemplateMetadata,
    build_template_metadata,
    check_parameters,
)
from template.parameters import BATCH

METADATA = build_template_metadata(BATCH)
GOOD = {
    "input": "gs://my-bucket/images/*-idx3-ubyte.gz",
    "output": "gs://my-bucket/out/fashion",
    "model_path": "gs://my-bucket/fashion.pth",
}


def check(environment=None, **changes):
    parameters = {key: value for key, value in (GOOD | changes).items() if value is not None}
    return [
        (finding.code, finding.message)
        for finding in check_parameters(METADATA, parameters, environment)
    ]


def test_good_parameters_find_nothing():
    assert check() == []
    assert check(device="cuda", batch_size="64", input_format="csv") == []


def test_everything_is_found_at_once():
    assert check(input=None, bach_size="64", device="gpu", batch_size="0") == [
        ("parameter-missing", "--parameters input: missing"),
        (
            "parameter-unknown",
            "--parameters bach_size: the template has no such parameter; "
            "did you mean 'batch_size'?",
        ),
        ("parameter-enum", "--parameters device=gpu: not one of the template's options"),
        ("parameter-regex", "--parameters batch_size=0: does not match ^[1-9][0-9]*$"),
    ]


def test_results_on_the_workers_disks_are_warned_of():
    ((code, message),) = check(output="out/fashion")
    assert code == "parameter-local-path"
    assert message.startswith("--parameters output=out/fashion: not in Cloud Storage;")
    assert check(model_path="fashion.pth") == []  # may be in the image


def test_gclouds_comma_list_is_recognised():
    parameters = {
        "input": "gs://my-bucket/x,output=gs://my-bucket/y",
        "model_path": GOOD["model_path"],
    }
    (finding,) = check_parameters(METADATA, parameters)
    assert finding.code == "parameter-comma"
    assert finding.remedy == (
        "Repeat the flag: --parameters input=gs://my-bucket/x --parameters output=gs://my-bucket/y"
    )
    more = f"gs://my-bucket/x,output=gs://my-bucket/y,model_path={GOOD['model_path']}"
    (finding,) = check_parameters(METADATA, {"input": more})
    assert "'output', 'model_path' are separate parameters" in finding.message
    assert finding.remedy.endswith(f"--parameters model_path={GOOD['model_path']}")


@pytest.mark.parametrize("name", ["batch_size", "device", "max_workers", "workerMachineType"])
def test_what_is_optional_or_an_option_of_the_job_is_recognised_behind_a_comma(name):
    assert [code for code, _ in check(input=f"gs://my-bucket/x,{name}=1")] == ["parameter-comma"]
    assert check(input="gs://my-bucket/x,y=1") == []


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("disk_size_gb", "--disk-size-gb"),
        ("worker_machine_type", "--worker-machine-type"),
        ("workerMachineType", "--worker-machine-type"),
        ("maxNumWorkers", "--max-workers"),
        ("zone", "--worker-zone"),
        ("usePublicIps", "--disable-public-ips"),
        ("streaming", "StandardOptions.streaming"),
    ],
)
def test_worker_options_lead_to_their_flags(name, flag):
    (finding,) = check_parameters(METADATA, {**GOOD, name: "1"})
    assert finding.code == "parameter-unknown"
    assert flag in finding.remedy


def test_runtime_options_pass_undeclared_but_not_twice():
    environment = FlexTemplateRuntimeEnvironment(machine_type="g2-standard-4")
    assert [code for code, _ in check(machine_type="n1-standard-4", sdk_location="container")] == [
        "parameter-runtime"
    ]
    assert check(environment, machine_type="n1-standard-4") == [
        (
            "parameter-twice",
            "--parameters machine_type: given both as a parameter and as the environment's "
            "machine_type",
        )
    ]


def test_a_regex_of_another_dialect_is_a_warning():
    parameter = ParameterMetadata(name="a", label="A", help_text="h", regexes=("(?P<x",))
    (finding,) = check_parameters(TemplateMetadata(name="t", parameters=(parameter,)), {"a": "1"})
    assert finding.severity is Severity.WARNING


def test_a_parameter_is_missing_only_where_its_parent_asks_for_it():
    metadata = TemplateMetadata(
        name="t",
        parameters=(
            ParameterMetadata(name="format", label="F", help_text="h", is_optional=True),
            ParameterMetadata(
                name="delimiter",
                label="D",
                help_text="h",
                parent_name="format",
                parent_trigger_values=("csv",),
            ),
        ),
    )
    assert check_parameters(metadata, {"format": "json"}) == []
    (finding,) = check_parameters(metadata, {"format": "csv"})
    assert finding.message == "--parameters delimiter: missing"
