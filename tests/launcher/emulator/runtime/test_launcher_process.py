from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.emulator.runtime.errors import LaunchFailedError
from launcher.emulator.runtime.images import Image
from launcher.emulator.runtime.launch import build_flags
from launcher.emulator.runtime.launcher_process import build_command
from launcher.emulator.runtime.temp import temp_dir_of
from tests.launcher.emulator.runtime.conftest import Bench
from tests.launcher.emulator.runtime.test_launch import LAUNCH, TEMPLATE
from tests.launcher.emulator.runtime.test_processes import eventually, is_gone


def test_the_variables_of_the_image_complete_the_command(tmp_path: Path) -> None:
    (tmp_path / "main.py").touch()
    image = Image(
        Path("/env/bin/python"),
        tmp_path,
        {
            "FLEX_TEMPLATE_PYTHON_PY_FILE": "main.py",
            "FLEX_TEMPLATE_PYTHON_PY_OPTIONS": "-X dev",
            "FLEX_TEMPLATE_PYTHON_SETUP_FILE": "/template/setup.py",
            "FLEX_TEMPLATE_PYTHON_EXTRA_PACKAGES": "a.whl,b.whl",
        },
    )
    command = build_command(LAUNCH, image, TEMPLATE)
    assert command[:4] == ["/env/bin/python", "-X", "dev", "main.py"]
    extra = ["--extra_package=a.whl", "--extra_package=b.whl", "--setup_file=/template/setup.py"]
    assert set(command[4:]) == {*build_flags(LAUNCH, TEMPLATE), *extra}
    assert command[4:] == sorted(command[4:])


@pytest.mark.parametrize(
    ("value", "words", "remedy"),
    [
        ("a\0b", "invalid argument", "'--input' contains a NUL character"),
        ("x" * 200_000, "argument list too long", "'--input' has 200,008 bytes"),
    ],
    ids=["NUL", "long"],
)
def test_an_argument_that_no_program_takes(
    tmp_path: Path, value: str, words: str, remedy: str
) -> None:
    (tmp_path / "main.py").touch()
    image = Image(Path(sys.executable), tmp_path, {"FLEX_TEMPLATE_PYTHON_PY_FILE": "main.py"})
    launch = dataclasses.replace(LAUNCH, parameters={"input": value})
    with pytest.raises(LaunchFailedError, match=words) as caught:
        build_command(launch, image, TEMPLATE)
    assert remedy in caught.value.messages[-1]


def test_arguments_that_are_too_long_together(tmp_path: Path) -> None:
    (tmp_path / "main.py").touch()
    image = Image(Path(sys.executable), tmp_path, {"FLEX_TEMPLATE_PYTHON_PY_FILE": "main.py"})
    many = {f"p{number}": "x" * 120_000 for number in range(20)}
    with pytest.raises(LaunchFailedError, match="argument list too long"):
        build_command(dataclasses.replace(LAUNCH, parameters=many), image, TEMPLATE)
    fewer = dict(list(many.items())[:15])
    command = build_command(dataclasses.replace(LAUNCH, parameters=fewer), image, TEMPLATE)
    subprocess.run(["/bin/true", *command], check=True, timeout=60)  # as a lower bound of the limit


FAILED = "Error occurred in the launcher container: "


@pytest.mark.parametrize(
    ("entry_file", "service_text", "program_text", "remedy"),
    [
        (
            "raises.py",
            f"{FAILED}Template launch failed. See console logs.",
            "RuntimeError: the entry file says no",
            "The entry file failed with exit status 1",
        ),
        (
            "strict.py",
            f"{FAILED}Template launch failed. See console logs.",
            "error: unrecognized arguments: --",
            "call parser.parse_known_args()",
        ),
        (
            "asks_for_metrics.py",
            f"{FAILED}Template launch failed. See console logs.",
            "ValueError: Can not query metrics. Job id is unknown.",
            "must not ask for metrics",
        ),
        (
            "stages_nothing.py",
            "Failed to read the job file : gs://staging/here/template_launches/",
            "all done",
            "must not set runner, project, job_name, region or template_location itself",
        ),
        (
            "missing.py",
            "missing.py does not exist",
            "",
            "FLEX_TEMPLATE_PYTHON_PY_FILE of the image test/missing.py is 'missing.py'",
        ),
        (
            "without-entry-file",
            f"{FAILED}could not determine py file from env",
            "",
            "Set FLEX_TEMPLATE_PYTHON_PY_FILE in the image test/without-entry-file",
        ),
    ],
)
def test_a_failed_launch_says_why_and_what_to_change(
    bench: Bench, entry_file: str, service_text: str, program_text: str, remedy: str
) -> None:
    job_id = f"fails-{entry_file}"
    journal = bench.run(entry_file, job_id, runtime_environment={})
    assert journal.states == ["JOB_STATE_FAILED"]
    errors = [text for importance, text in journal.messages if importance == "JOB_MESSAGE_ERROR"]
    assert remedy in errors[-1]
    assert service_text in errors[-2]
    assert program_text in errors[0]
    assert len(errors) == (3 if program_text else 2)
    assert program_text in bench.console_logs(job_id)
    folder = f"here/template_launches/{job_id}"
    result = json.loads(bench.store.read("staging", f"{folder}/operation_result"))
    assert result["done"] is True


def test_the_console_is_in_the_messages_and_in_console_logs(bench: Bench) -> None:
    journal = bench.run("raises.py", "console", runtime_environment={})
    assert ("JOB_MESSAGE_DETAILED", "about to fail") in journal.messages
    lines = bench.console_logs("console").splitlines()
    own = [json.loads(line) for line in lines[:2]]
    assert [record["message"] for record in own] == [
        "Started template launcher.",
        "Initialize Python template.",
    ]
    assert own[0]["line"] == "python_template_launcher.go:36"
    assert lines[2] == "about to fail"
    assert lines[-2:] == [
        "python failed with exit status 1",
        "Error: Template launch failed: exit status 1",
    ]


def test_an_unknown_image_is_not_pulled(bench: Bench) -> None:
    journal = bench.run("raises.py", "unknown", image="eu.gcr.io/p/unknown:1")
    assert journal.states == ["JOB_STATE_FAILED"]
    errors = journal.texts("JOB_MESSAGE_ERROR")
    assert "Unable to pull container image due to error: eu.gcr.io/p/unknown:1" in errors
    assert '["eu.gcr.io/p/unknown:1"]' in errors


def test_a_staging_bucket_that_is_not_there(bench: Bench) -> None:
    journal = bench.run(
        "raises.py", "no-bucket", staging_location="gs://nowhere/x", runtime_environment={}
    )
    assert journal.states == ["JOB_STATE_FAILED"]
    errors = journal.texts("JOB_MESSAGE_ERROR")
    assert "Failed to read the result file : gs://nowhere/x/template_launches/no-bucket" in errors
    assert "gcloud storage buckets create gs://nowhere" in errors


def test_the_deadline_stops_the_launcher(bench: Bench) -> None:
    journal = bench.run("slow.py", "late", launch_timeout_sec=2.0, runtime_environment={})
    assert journal.states == ["JOB_STATE_FAILED"]
    errors = journal.texts("JOB_MESSAGE_ERROR")
    path = "gs://staging/here/template_launches/late/operation_result"
    assert f"Timeout in polling result file: {path}.\n" in errors
    assert "Image URL: test/slow.py\n" in errors
    assert "The launcher had 2 s" in errors
    assert '{"ft_launch_timeout_secs": "600"}' in errors
    pid = int(bench.console_logs("late").split()[-1])
    assert eventually(lambda: is_gone(pid))


def test_a_launch_does_not_wait_for_a_daemon_that_holds_its_output(bench: Bench) -> None:
    try:
        journal = bench.run("leaves_a_daemon.py", "daemon", runtime_environment={})
        assert journal.states == ["JOB_STATE_FAILED"]
        assert "must not set runner, project" in journal.texts("JOB_MESSAGE_ERROR")
    finally:
        os.kill(int(bench.console_logs("daemon").split()[-1]), signal.SIGKILL)


def test_cancelling_the_launcher_leaves_no_process(bench: Bench) -> None:
    bench.runner.launch("cancelled", bench.build_launch("slow.py"))
    journal = bench.journals.wait_for("cancelled", lambda journal: "process" in journal.texts())
    pid = int(journal.texts().split()[-1])
    bench.runner.cancel("cancelled")
    assert eventually(lambda: is_gone(pid))
    assert journal.states == []
    assert f"process {pid}" in bench.console_logs("cancelled")


def test_a_job_leaves_nothing_in_the_temporary_folder(bench: Bench) -> None:
    bench.runner.launch(
        "leaves-files", bench.build_launch("leaves_files.py", runtime_environment={})
    )
    journal = bench.journals.wait_for("leaves-files", lambda journal: "folder" in journal.texts())
    left = Path(journal.texts().split()[-1])
    assert left.parent == temp_dir_of("leaves-files")
    assert left.exists()
    bench.runner.cancel("leaves-files")
    assert not left.parent.exists()


def test_the_interpreter_of_the_image_runs_the_entry_file(tmp_path: Path) -> None:
    (tmp_path / "main.py").touch()
    image = Image(Path(sys.executable), tmp_path, {"FLEX_TEMPLATE_PYTHON_PY_FILE": "main.py"})
    assert build_command(LAUNCH, image, TEMPLATE)[:2] == [
        sys.executable,
        "main.py",
    ]
