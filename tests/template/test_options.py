"""Flags, and the configuration derived from them."""

import re

import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from template.model import BaseModel
from template.models.fashion_mnist import FashionMnistModel
from template.options import (
    PredictConfig,
    StreamConfig,
    TemplateOptions,
    check_flags,
    find_model_class,
)
from template.parameters import BATCH, ParameterError

MODEL = "--model_class=template.models.fashion_mnist:FashionMnistModel"
REQUIRED = ["--input=a.csv", "--output=out/p", "--model_path=w.pth", MODEL]


def config(*flags):
    return PredictConfig.from_options(PipelineOptions([*REQUIRED, *flags]))


def test_defaults_are_those_of_the_table():
    made = config()
    for parameter in BATCH.parameters:
        if parameter.is_optional and parameter.name != "model_class":
            empty = {"passthrough_columns": (), "column_types": {}, "model_opts": {}}.get(
                parameter.name
            )
            assert getattr(made, parameter.name) == (parameter.default or empty)
    assert made.model_class is FashionMnistModel
    assert made.input == "a.csv"


def test_values_get_their_own_types():
    made = config("--batch_size=64", "--key_column=id", "--device=cpu", "--output_format", "csv")
    assert made.batch_size == 64
    assert (made.key_column, made.device, made.output_format) == ("id", "cpu", "csv")


def test_everything_wrong_is_listed_at_once():
    options = PipelineOptions(
        [
            "--input=a.csv",
            "--output=gs://b/dir/",
            "--batch_size=0",
            "--device=gpu",
            "--model_class=template.models.fashion_mnist:Nix",
        ]
    )
    with pytest.raises(ParameterError) as info:
        PredictConfig.from_options(options)
    lines = str(info.value).splitlines()
    assert sorted(line.split()[0].rstrip(":") for line in lines) == [
        "--batch_size",
        "--device",
        "--model_class",
        "--model_path",
        "--output",
    ]
    assert "not one of auto, cuda, cpu" in str(info.value)


@pytest.mark.parametrize("config", [PredictConfig, StreamConfig])
def test_a_template_for_one_model_runs_no_other(config):
    label = '--labels={"flexpack-model": "churn-model", "team": "ml"}'
    flags = [
        *REQUIRED[:-1],
        "--input_subscription=projects/my-project/subscriptions/rows",
        "--temp_location=gs://b/t",
    ]
    flags += ["--output_topic=projects/my-project/topics/rows"]
    with pytest.raises(ParameterError, match=r"^--model_class: the template is made for one model"):
        config.from_options(PipelineOptions([*flags, label]))
    assert config.from_options(PipelineOptions([*flags, label, MODEL]))


def test_options_of_an_unrelated_pipeline_are_not_disturbed():
    options = PipelineOptions(["--project=p"])
    assert options.view_as(GoogleCloudOptions).project == "p"
    assert options.get_all_options()["input"] is None
    assert options.view_as(TemplateOptions).model_path is None


@pytest.mark.parametrize(
    ("flag", "meant"),
    [
        ("--ouput=x", "output"),
        ("--model-path=x", "model_path"),
        ("--batchsize=3", "batch_size"),
        ("--key_colum", "key_column"),
    ],
)
def test_a_misspelt_parameter_is_named_with_a_suggestion(flag, meant):
    with pytest.raises(ParameterError, match=f"did you mean '{meant}'"):
        check_flags([*REQUIRED, flag], BATCH)


def test_flags_of_beam_and_of_the_launcher_are_kept():
    check_flags(
        [
            *REQUIRED,
            "--runner=DataflowRunner",
            "--project=p",
            "--region=r",
            "--job_name=j",
            "--template_location=gs://b/t",
            "--worker_machine_type=g2-standard-4",
            "--experiments=use_runner_v2",
            "--no_use_public_ips",
            "--labels=a=b",
            "--launcher_flag_of_tomorrow=1",
            "positional",
        ],
        BATCH,
    )


def test_a_model_class_is_imported():
    assert find_model_class(f"{__name__}:OwnModel") is OwnModel


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("nowhere:Model", "no module 'nowhere' can be imported"),
        ("template.nowhere:Model", "no module 'template.nowhere' can be imported"),
        ("template.models.fashion_mnist:Model", "has no 'Model'; its models: FashionMnistModel"),
        (
            "template.models.fashion_mnist:Any",
            "not a subclass of template.model",
        ),
    ],
)
def test_a_model_class_that_cannot_be_used_says_why(reference, reason):
    with pytest.raises(ParameterError, match=reason):
        find_model_class(reference)


def test_a_module_that_fails_says_how(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "needs_more.py").write_text("import not_installed_here\n")
    (tmp_path / "raises.py").write_text("1 / 0\n")
    with pytest.raises(ParameterError, match="needs 'not_installed_here', which is not installed"):
        find_model_class("needs_more:Model")
    with pytest.raises(ParameterError, match="importing 'raises' raised ZeroDivisionError"):
        find_model_class("raises:Model")


class OwnModel(BaseModel):
    """A model of the tests."""


def test_passthrough_columns_are_names_between_commas():
    assert config("--passthrough_columns=zip, id").passthrough_columns == ("zip", "id")
    assert config('--passthrough_columns="a, b",c').passthrough_columns == ("a, b", "c")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("zip,zip", "names 'zip' twice"),
        ("zip,,id", "a name is empty"),
        ("key", "'key' cannot be passed through, because every prediction has a 'key' of its own"),
    ],
)
def test_passthrough_columns_that_cannot_be_written_are_refused(given, reason):
    with pytest.raises(ParameterError, match=f"--passthrough_columns '{given}': {reason}"):
        config(f"--passthrough_columns={given}")


def test_the_names_that_replies_use_cannot_be_passed_through_in_streams():
    flags = [
        "--input_subscription=projects/some-project/subscriptions/images",
        "--output_topic=projects/some-project/topics/predictions",
        "--dead_letter_output=gs://b/letters",
        "--model_path=gs://bucket/model.pth",
        MODEL,
        "--passthrough_columns=model_id",
    ]
    with pytest.raises(ParameterError, match="'model_id' cannot be passed through"):
        StreamConfig.from_options(PipelineOptions(flags))
    assert config("--passthrough_columns=model_id").passthrough_columns == ("model_id",)


def test_column_types_are_names_and_types():
    assert config("--column_types=zip:text, a:b:number").column_types == {
        "zip": "text",
        "a:b": "number",
    }
    assert config('--column_types="a, b:text"').column_types == {"a, b": "text"}
    assert config().column_types == {}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("zip", "'zip' is not a name and a type: zip:text,age:number"),
        (":text", "':text' is not a name and a type"),
        ("zip:txt", "column 'zip': no type 'txt', but text, number; did you mean 'text'?"),
        ("zip:text,zip:number", "names 'zip' twice"),
    ],
)
def test_column_types_of_another_form_are_refused(given, reason):
    with pytest.raises(ParameterError, match=re.escape(f"--column_types '{given}': {reason}")):
        config(f"--column_types={given}")


def test_a_delimiter_is_one_of_some():
    assert config("--csv_delimiter=tab").csv_delimiter == "tab"
    with pytest.raises(ParameterError, match=r"--csv_delimiter 'semicolons': .*'semicolon'\?"):
        config("--csv_delimiter=semicolons")
