"""The ``flexpack`` command: its help, what it refuses, and the commands without a job."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.cli import build_parser, main

SPEC = "gs://my-bucket/templates/batch.json"
TRY = ["try", "m:C", "--input", "a.csv", "--model-path", "m.pth"]
GOOD = [
    *("--parameters", "input=gs://my-bucket/images/a,b=c.csv"),
    *("--parameters", "output=gs://my-bucket/out"),
    *("--parameters", "model_path=gs://my-bucket/model.pth"),
]


def test_help_names_the_commands_and_loads_nothing_heavy():
    heavy = (
        *("apache_beam", "torch", "pandas", "googleapiclient", "google.api_core", "google.auth"),
        *("google.cloud.storage", "requests", "starlette", "uvicorn", "rich"),
    )
    program = (
        "import sys, launcher, launcher.cli\n"
        "try: launcher.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    assert output.splitlines()[-1] == "[]"
    for command in ("metadata", "build", "run", "jobs", "emulator"):
        assert f"\n    {command} " in output


def find_examples(parser):
    """Yield the example in the help of every command."""
    parser.add_own()
    title, _, example = (parser.epilog or "").partition("example:\n")
    if example:
        assert title == ""
        yield example.strip().replace("\\\n", "").partition(" && ")[0]
    for action in parser._subparsers._group_actions if parser._subparsers else ():
        for command in action.choices.values():
            yield from find_examples(command)


def test_the_examples_in_the_help_are_commands():
    examples = [shlex.split(each) for each in find_examples(build_parser())]
    assert {words[1] for words in examples} == {
        *("build", "check", "emulator", "init", "run", "storage", "template", "try"),
    }
    for words in examples:
        assert words[0] == "flexpack"
        assert build_parser().parse_args(words[1:]).run


def test_the_installed_command_exits_with_the_status():
    command = Path(sys.executable).parent / "flexpack"
    assert command.exists() or shutil.which("flexpack")
    done = subprocess.run([command, "jobs"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("flexpack: the following arguments are required: COMMAND")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (
            ["rnu"],
            "; did you mean 'run'?",
        ),
        (
            ["run", "a", "--template-file-gcs-location", SPEC, "--max-worker", "3"],
            "--max-worker: flexpack run has no such argument; did you mean '--max-workers'?",
        ),
        (["jobs", "list", "--status", "done"], "--status 'done': one of all, active, terminated"),
        (["jobs", "list", "--limit", "x"], "--limit 'x': expected a whole number of at least 1"),
        (["jobs", "list", "--limit"], "--limit: no value is given"),
        (["check", "--metadata-file", "/nowhere"], "--metadata-file /nowhere: No such file or"),
        (["jobs", "list", "--limit", "0"], "--limit '0': expected a whole number of at least 1"),
        (["jobs", "wait", "1", "--timeout-sec", "nan"], "'nan': expected a number of at least 0"),
        (
            ["run", "a", "--templat", SPEC],
            "--templat: flexpack run has no such argument; did you mean '--template'?",
        ),
        (
            ["run", "a", "--template-file-gcs-location", SPEC, "--wait", "--async"],
            "--async: not allowed with --wait",
        ),
        (["jobs", "list", "--project", "My Project"], "--project 'My Project': not a project's id"),
        (
            ["jobs", "list", "--project", "p", "--region", "us-central1-a"],
            "--region 'us-central1-a': a zone; give its region, us-central1,",
        ),
        (["jobs", "list", "--project", "p", "--region", "a b"], "--region 'a b': not a region's"),
        (["image", "tag", "--project", "p"], "--region: missing. Give it together with --project"),
        (["image", "tag", "--region", "r"], "--project: missing. Give it together with --region"),
        (
            ["build", SPEC, "--image", "i", "--accelerator", "L4"],
            "--accelerator 'L4': expected TYPE[:COUNT[:DRIVER]]",
        ),
        (
            ["build", SPEC, "--image", "i", "--accelerator", "l4"],
            "no such accelerator; did you mean 'nvidia-l4'? 'flexpack accelerators' lists them",
        ),
        (["build", SPEC, "--image", "a b"], "--image 'a b': expected the image's reference"),
        (["build", SPEC, "--image", "i", "--ignore", "gpu"], "--ignore 'gpu': no such code"),
        (
            ["build", "gs://my-bucket/templates/", "--image", "i"],
            "TEMPLATE_FILE_GCS_PATH 'gs://my-bucket/templates/': a folder; name the spec in it, "
            "for example gs://my-bucket/templates/batch.json",
        ),
        (["template", "--bucket", "B", "--project", "p"], "--bucket 'B': expected a bucket's name"),
        (
            [
                *("build", SPEC, "--image", "i", "--accelerator", "nvidia-l4:1"),
                *("--worker-machine-type", "n1-standard-4"),
            ],
            "ERROR gpu-machine: --worker-machine-type n1-standard-4: 1 nvidia-l4 need g2-",
        ),
        (["build", SPEC, "--image", "i", "--template", "bach"], "--template 'bach': no such"),
        (["try", "m:C", "--input", "a.csv"], "the following arguments are required: --model-path"),
        ([*TRY, "--rows", "0"], "--rows '0': expected a whole number of at least 1"),
        ([*TRY, "--parameters", "key_colum=a"], "no such parameter; did you mean 'key_column'?"),
        ([*TRY, "--parameters", "output=a"], "--parameters output: has no effect in a try"),
        (
            [*TRY, "--parameters", "input=a"],
            "--parameters input: use its own flag or position instead",
        ),
        (["build", "x.json", "--image", "i"], "TEMPLATE_FILE_GCS_PATH 'x.json': expected"),
        (
            ["run", "a", "--template-file-gcs-location", SPEC, "--parameters", "input"],
            "--parameters 'input': expected KEY=VALUE",
        ),
        (
            ["run", "a", "--template-file-gcs-location", SPEC, *GOOD, "--parameters", "input=b"],
            "--parameters input: given twice",
        ),
        (["run", "a", "--template-file-gcs-location", SPEC], "--project: missing; give the id"),
        (["jobs", "list"], "--project: missing"),
        (["metadata", "--project-root", "/nowhere"], "/nowhere/metadata: no such folder"),
    ],
)
def test_bad_input(flexpack, arguments, message):
    status, out, err = flexpack(*arguments)
    assert status == 2
    assert out == ""
    assert err.startswith("flexpack: ")
    assert message in err
    assert "Traceback" not in err


def test_accelerators(flexpack):
    status, out, _ = flexpack("accelerators")
    assert status == 0
    assert out.startswith("ACCELERATOR ")
    assert "\nnvidia-l4              1,2,4,8" in out
    assert "CUDA 13 needs 580 or newer" in out
    assert "Not nvidia-tesla-k80: Compute Engine has retired it; the nearest is" in out
    _, out, _ = flexpack("accelerators", "--format", "json")
    assert json.loads(out)["accelerators"][0]["type"] == "nvidia-l4"


def test_metadata_check_names_what_is_stale(flexpack, tmp_path):
    root = str(tmp_path)
    (tmp_path / "metadata").mkdir()
    status, _, err = flexpack("metadata", "--check", "--project-root", root)
    assert status == 1
    assert err.startswith("flexpack: metadata/batch.json")
    assert ": out of date; run" in err
    status, out, _ = flexpack("metadata", "--project-root", root)
    assert status == 0
    assert f"wrote {tmp_path}/metadata/batch.json\n" in out
    assert flexpack("metadata", "--check", "--project-root", root)[0] == 0


def test_emulator_commands_where_none_runs(flexpack, tmp_path):
    folder = str(tmp_path)
    status, out, err = flexpack("emulator", "env", "--data-dir", folder)
    assert (status, out) == (1, "")
    assert f"start one with 'flexpack emulator start --detach --data-dir {folder}'" in err
    status, out, _ = flexpack("emulator", "stop", "--data-dir", folder)
    assert (status, out) == (
        0,
        f"No local Dataflow runs on {folder}; use --data-dir to name another folder.\n",
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--images", "nofile"), "nofile: cannot be read: No such file or directory"),
        (("--port", "99999"), "--port 99999: must be from 1 to 65532"),
        (("--max-jobs", "0"), "--max-jobs '0': expected a whole number of at least 1"),
        (("--data-dir", __file__), f"--data-dir {__file__}: cannot be "),
    ],
)
def test_the_emulator_says_which_option_it_cannot_use(flexpack, tmp_path, flags, message):
    status, out, err = flexpack(
        *("emulator", "start", "--detach", "--port", "0", "--data-dir", str(tmp_path), *flags)
    )
    assert (status, out) == (2, "")
    assert err.startswith("flexpack: --")
    assert message in err


def test_an_emulator_that_runs_already_refuses_what_it_cannot_change(flexpack, emulator):
    start = ("emulator", "start", "--detach", "--data-dir", str(emulator.data_dir))
    status, out, _ = flexpack(*start)
    assert status == 0
    assert out.startswith(
        f"The local Dataflow runs already.\n  Dataflow  {emulator.dataflow_endpoint}\n"
    )
    status, _, err = flexpack(*start, "--max-jobs", "1")
    assert status == 2
    assert f"'flexpack emulator stop --data-dir {emulator.data_dir}' first" in err


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("jobs", "list"), id="no project"),
        pytest.param(("jobs", "list", "--project=my-project"), id="no credentials"),
        pytest.param(("build", "gs://my-bucket/t.json", "--image=local/flexpack"), id="storage"),
    ],
)
def test_a_shell_that_does_not_use_the_local_dataflow_here_is_shown_how(
    arguments, flexpack, emulator, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    Path(".flexpack").symlink_to(emulator.data_dir)
    hint = (
        'This shell does not use the local Dataflow that runs here: eval "$(flexpack emulator env)"'
    )

    status, _, err = flexpack(*arguments)
    assert status != 0
    assert err.endswith(f"\n{hint}\n")

    # An explicitly named server wins.
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW", "http://localhost:1/")
    assert hint not in flexpack(*arguments)[2]


def test_a_mistake_in_a_flag_says_nothing_of_the_local_dataflow(
    flexpack, emulator, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path(".flexpack").symlink_to(emulator.data_dir)
    command = ("jobs", "list", "--project=my-project", "--region=us-central1-a")
    assert "local Dataflow" not in flexpack(*command)[2]


def test_a_stopped_local_dataflow_is_mentioned(flexpack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(".flexpack").mkdir()
    assert flexpack("jobs", "list")[2].endswith(
        "of this folder, which is stopped: flexpack emulator start --detach && eval "
        '"$(flexpack emulator env)"\n'
    )
    for variable in ("CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW", "STORAGE_EMULATOR_HOST"):
        monkeypatch.setenv(variable, "http://localhost:1/")
    for command in (
        ("jobs", "list", "--project=my-project"),
        ("jobs", "cancel", "1", "--project=my-project"),
        ("build", "gs://my-bucket/t.json", "--image=local/flexpack"),
    ):
        assert "'flexpack emulator start --detach'" in flexpack(*command)[2]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"image":' + '{"a":' * 100_000, "nested more than 100 levels deep"),
        ('{"image": "i", "metadata": ' + '{"a":' * 600 + "1" + "}" * 601, "nested more than 100"),
        ('{"image": "i", "metadata": {"name": "\\ud800"}}', "has the surrogate '\\ud800' without"),
    ],
    ids=["endless", "deep", "surrogate"],
)
def test_a_spec_that_cannot_be_shown_is_named(tmp_path, capsys, content, why):
    spec = tmp_path / "spec.json"
    spec.write_text(content)
    for flag in ("--template-file-gcs-location", "--metadata-file"):
        status = main(["check", flag, str(spec), "--project-root", str(tmp_path)])
        reported = capsys.readouterr()
        assert status in (1, 2)
        assert why in reported.out + reported.err


def test_an_argument_that_is_not_utf_8_is_named(capsys):
    assert main(["check", "--entry-file", "\udcff.py"]) == 2
    assert "argument 3, '\\udcff.py': not UTF-8" in capsys.readouterr().err


def test_a_path_that_is_too_long_is_named(capsys):
    assert main(["check", "--entry-file", "a" * 5000]) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err
