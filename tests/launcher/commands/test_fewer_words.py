"""Names in place of ids and paths, and parameters in a file."""

from __future__ import annotations

import json
from argparse import Namespace
from importlib import metadata
from pathlib import Path

import pytest

from launcher.commands.parameters_file import read_parameters_file
from launcher.commands.template_name import find_template
from launcher.errors import InputError
from tests.support import PROJECT_ROOT

SPEC = "gs://my-bucket/templates/batch.json"
PARAMETERS = {
    "input": "gs://my-bucket/in/*.csv",
    "output": "gs://my-bucket/out",
    "model_path": "gs://my-bucket/model.pth",
}


@pytest.fixture
def template(cloud, flexpack):
    assert flexpack("build", SPEC, "--image", "image:1")[0] == 0


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def launch_dry(flexpack, *flags):
    status, out, err = flexpack(
        "run", "fashion", *flags, "--ignore=object-missing,parameter-regex", "--dry-run"
    )
    assert status == 0, err
    parameter = json.loads(out.partition("\n")[2])["launchParameter"]
    del parameter["environment"]["additionalUserLabels"]  # the launch's id
    return parameter


def test_a_template_goes_by_its_name(flexpack, template, folder):
    (folder / "p.json").write_text(json.dumps(PARAMETERS))
    flags = ("--template", "batch", "--parameters-file", "p.json")
    parameter = launch_dry(flexpack, *flags, "--bucket", "my-bucket")
    assert parameter["containerSpecGcsPath"] == SPEC
    assert parameter["environment"]["stagingLocation"] == "gs://my-bucket/staging"

    (folder / "Makefile").write_text("run:\n\techo $(BUCKET)\nBUCKET ?= my-bucket  # of mine\n")
    assert launch_dry(flexpack, *flags) == parameter
    (folder / "Makefile").write_text("BUCKET ?=\nIMAGE ?= mine\n")
    _, _, err = flexpack("run", "fashion", *flags)
    assert err == "flexpack: --template: BUCKET of the Makefile is empty: give --bucket BUCKET\n"
    (folder / "Makefile").write_text("BUCKET = gs://my-bucket\n")
    elsewhere = launch_dry(flexpack, *flags, "--staging-location", "gs://my-bucket/place")
    assert elsewhere["environment"]["stagingLocation"] == "gs://my-bucket/place"


def test_a_template_of_a_project_is_in_the_folder_of_its_name(folder, monkeypatch):
    def find():
        return find_template(Namespace(template="batch", bucket=None, staging_location=None))

    text = (PROJECT_ROOT / "launcher/package/scaffold/common/Makefile.in").read_text()
    (folder / "Makefile").write_text(text)
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    with pytest.raises(InputError, match="is empty: give --bucket BUCKET/project_name"):
        find()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://localhost:9101")
    assert find() == "gs://project-name-local/project_name/templates/batch.json"
    (folder / "Makefile").write_text(text.replace("BUCKET ?=", "BUCKET ?= gs://my-bucket/"))
    assert find() == "gs://my-bucket/project_name/templates/batch.json"


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--template", "batch"), "--template: in which bucket? Give --bucket BUCKET"),
        (("--template", SPEC), f"--template '{SPEC}': a name such as batch; for a path use"),
        (("--template-file-gcs-location", SPEC, "--bucket", "b"), "--bucket: needs --template"),
        (("--template", "a", "--bucket", "My/b"), "--bucket 'My/b': expected a bucket's name"),
        (
            ("--template", "other", "--bucket", "my-bucket"),
            "--template other, which is gs://my-bucket/templates/other.json: there is no such",
        ),
        (
            ("--template", "other", "--bucket", "no-bucket"),
            "--template other, which is gs://no-bucket/templates/other.json: there is no bucket",
        ),
        ((), "one of the arguments --template-file-gcs-location --template is required"),
        (
            ("--template", "a", "--template-file-gcs-location", SPEC),
            "--template-file-gcs-location: not allowed with --template",
        ),
    ],
    ids=[
        *(
            "no bucket",
            "a path",
            "a bucket alone",
            "a bucket's name",
            "no object",
            "no such bucket",
        ),
        *("neither", "both"),
    ],
)
def test_a_template_that_is_not_named_says_why(flexpack, template, folder, flags, reason):
    status, _, err = flexpack("run", "fashion", *flags)
    assert status == 2
    assert reason in err
    assert "--template-file-gcs-location gs:" not in err


def test_parameters_come_from_a_file_and_flags_before_it(flexpack, template, folder):
    (folder / "p.yaml").write_text(
        "# of March\n"
        "input: gs://my-bucket/in/*.csv\n"
        "output: gs://my-bucket/out\n"
        "model_path: gs://my-bucket/model.pth\n"
        "batch_size: 0256\n"
        "max_dead_letter_share: 1e-2\n"
        "passthrough_columns: [zip, 'last, first']\n"
    )
    parameter = launch_dry(
        flexpack,
        *("--template-file-gcs-location", SPEC, "--parameters-file", "p.yaml"),
        *("--parameters", "output=gs://my-bucket/elsewhere"),
    )
    assert parameter["parameters"] == {
        **PARAMETERS,
        "output": "gs://my-bucket/elsewhere",
        "batch_size": "0256",
        "max_dead_letter_share": "1e-2",
        "passthrough_columns": 'zip,"last, first"',
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- input", "expected names and values, as in 'batch_size: 256'"),
        ("a: b\nc: {d: e}", "line 2: c: a parameter must be text, a number, or a list of these"),
        ("a:\n", "line 1: a: has no value; omit it, or give it one"),
        ('{"a": null}', "line 1: a: has no value"),
        ("a: 1\nb: 2\na: 3\n", "line 3: a: given twice"),
        ("a: [1, 2", "neither YAML nor JSON"),
        (b"\xff\xfe\x00", "cannot be read: it is not text"),
        (None, "cannot be read: No such file or directory"),
    ],
    ids=["a list", "nested", "empty", "null", "twice", "unclosed", "binary", "missing"],
)
def test_a_file_that_is_no_parameters_says_where(tmp_path: Path, text, reason):
    path = tmp_path / "p.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as refused:
        read_parameters_file(path)
    assert reason in str(refused.value)
    assert str(path) in str(refused.value)


def test_an_empty_file_holds_no_parameters(tmp_path: Path):
    (tmp_path / "p.yaml").write_text("# none\n")
    assert read_parameters_file(tmp_path / "p.yaml") == {}


def test_a_job_goes_by_its_name(flexpack, cloud):
    cloud.add_job("fashion", "DONE")
    active = cloud.add_job("fashion").id
    cloud.add_job("other")
    ended = cloud.add_job("ended", "FAILED").id

    assert f"job id   {active}\n" in flexpack("jobs", "describe", "fashion")[1]
    assert f"job id   {ended}\n" in flexpack("jobs", "describe", "ended")[1]
    status, out, _ = flexpack("jobs", "cancel", "fashion")
    assert status == 0
    assert out.startswith(f"Cancelling {active};")


@pytest.mark.parametrize("verb", ["cancel", "drain"])
def test_an_ended_job_is_not_cancelled_by_its_name(flexpack, cloud, verb):
    cloud.add_job("ended", "DONE")
    status, _, err = flexpack("jobs", verb, "ended")
    assert status == 2
    assert err.startswith("flexpack: JOB 'ended': there is no active job of that name of my-proj")


def test_the_log_is_shown_from_its_end(flexpack, folder):
    status, _, err = flexpack("emulator", "logs", "--data-dir", "data")
    assert status == 2
    assert "emulator.log: there is no log, because the local Dataflow has not run there" in err
    (folder / "data").mkdir()
    (folder / "data" / "emulator.log").write_text("one\ntwo\nthree\n")
    shown = flexpack("emulator", "logs", "--data-dir", "data", "--lines", "2")
    assert shown == (0, "two\nthree\n", "")


def test_the_version(capsys: pytest.CaptureFixture[str]):
    from launcher.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"flexpack {metadata.version('flexpack')}\n"
