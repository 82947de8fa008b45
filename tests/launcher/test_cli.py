"""The ``flexpack`` command: what it prints, where, and its exit status."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.cli import main
from launcher.spec import parse_spec

SPEC = "gs://my-bucket/templates/batch.json"
GOOD = [
    *("--parameters", "input=gs://my-bucket/images/a,b=c.csv"),
    *("--parameters", "output=gs://my-bucket/out"),
    *("--parameters", "model_path=gs://my-bucket/model.pth"),
]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in (
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW",
        "CLOUDSDK_CORE_PROJECT",
        "CLOUDSDK_DATAFLOW_REGION",
        "GOOGLE_CLOUD_PROJECT",
        "STORAGE_EMULATOR_HOST",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cloud(monkeypatch, service, storage):
    """A Dataflow and a Cloud Storage, found by the variables that gcloud uses."""
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW", service.endpoint)
    monkeypatch.setenv("CLOUDSDK_CORE_PROJECT", "my-project")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.endpoint)
    return service


@pytest.fixture
def template(cloud):
    assert main(["build", SPEC, "--image", "image:1"]) == 0


@pytest.fixture
def flexpack(capsys):
    def run(*arguments):
        capsys.readouterr()
        status = main(arguments)
        output = capsys.readouterr()
        return status, output.out, output.err

    return run


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
        (["jobs", "list", "--limit", "x"], "--limit: invalid int value: 'x'"),
        (
            ["build", SPEC, "--image", "i", "--accelerator", "L4"],
            "--accelerator 'L4': expected TYPE[:COUNT[:DRIVER]]",
        ),
        (["build", SPEC, "--image", " "], "--image '': empty"),
        (
            [
                *("build", SPEC, "--image", "i", "--accelerator", "nvidia-l4:1"),
                *("--worker-machine-type", "n1-standard-4"),
            ],
            "ERROR gpu-machine: --worker-machine-type n1-standard-4: 1 nvidia-l4 need g2-",
        ),
        (["build", SPEC, "--image", "i", "--template", "bach"], "--template 'bach': no such"),
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


def test_build_prints_or_uploads(flexpack, storage, cloud):
    flags = [
        *("--image", "image:1", "--accelerator", "nvidia-l4:1", "--max-workers", "3"),
        *("--additional-experiments", "a,b", "--additional-experiments", "c=d"),
        *("--additional-user-labels", "team=ml,cost=low", "--disable-public-ips"),
    ]
    status, printed, _ = flexpack("build", SPEC, *flags, "--print-only")
    assert status == 0
    environment = parse_spec(printed).default_environment
    assert environment.additional_experiments == (
        "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:latest",
        *("a", "b", "c=d", "no_use_multiple_sdk_containers"),
    )
    assert environment.additional_user_labels == {"team": "ml", "cost": "low"}
    assert environment.ip_configuration == "WORKER_IP_PRIVATE"

    status, out, _ = flexpack("build", SPEC, *flags)
    assert status == 0
    assert out.startswith(f"Built {SPEC} (generation ")
    assert f"flexpack run JOB_NAME --template-file-gcs-location {SPEC}" in out
    stored = storage.store.read("my-bucket", "templates/batch.json").decode()
    assert stored == printed.rstrip("\n")


def test_the_dry_run_prints_the_request_and_sends_nothing(flexpack, service, template):
    arguments = ["run", "fashion", "--template-file-gcs-location", SPEC, *GOOD]
    status, out, _ = flexpack(*arguments, "--accelerator", "nvidia-l4:1", "--dry-run")

    assert status == 0
    first, _, body = out.partition("\n")
    assert first == (
        f"POST {service.endpoint}v1b3/projects/my-project/locations/us-central1/"
        "flexTemplates:launch?alt=json"
    )
    parameter = json.loads(body)["launchParameter"]
    assert parameter["parameters"]["input"] == "gs://my-bucket/images/a,b=c.csv"
    assert parameter["environment"]["additionalExperiments"] == [
        "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:latest",
        "no_use_multiple_sdk_containers",
    ]
    assert service.calls == []


def test_an_unchecked_dry_run_needs_neither_credentials_nor_network(flexpack, monkeypatch):
    status, out, _ = flexpack(
        *("run", "fashion", "--template-file-gcs-location", SPEC, "--dry-run", "--no-check"),
        *("--project", "p", "--region", "us-east1"),
    )
    assert status == 0
    assert out.startswith(
        "POST https://dataflow.googleapis.com/v1b3/projects/p/locations/us-east1/flexTemplates"
    )


def test_run_says_how_to_go_on(flexpack, service, template):
    status, out, err = flexpack(
        "run", "fashion", "--template-file-gcs-location", SPEC, *GOOD, "--async"
    )

    job_id = service.jobs[0]["id"]
    assert (status, err) == (0, "")
    assert out == (
        "Launched fashion in us-central1.\n"
        f"  job id   {job_id}\n"
        f"  follow   flexpack jobs wait {job_id}\n"
        f"  cancel   flexpack jobs cancel {job_id}\n"
        "The job was not read back: --async does not look whether it is what was asked for.\n"
    )
    assert service.jobs[0]["labels"].keys() == {"flexpack-launch-id"}


def test_run_names_project_and_region_where_they_are_not_the_defaults(flexpack, service, template):
    _, out, _ = flexpack(
        *("run", "fashion", "--template-file-gcs-location", SPEC, *GOOD),
        *("--project", "other", "--region", "us-east1", "--async"),
    )
    job_id = service.jobs[0]["id"]
    assert f"flexpack jobs wait {job_id} --project other --region us-east1\n" in out


def test_wrong_parameters_launch_nothing(flexpack, service, template):
    status, out, err = flexpack(
        *("run", "fashion", "--template-file-gcs-location", SPEC),
        *("--parameters", "inptu=x", "--parameters", "output=gs://my-bucket/o"),
    )
    assert (status, out) == (2, "")
    assert err.startswith("flexpack: the check found 3 errors; nothing was launched.")
    assert "--parameters input: missing" in err
    assert "--parameters model_path: missing" in err
    assert "--parameters inptu: the template has no such parameter; did you mean 'input'?" in err
    assert service.launch_calls == 0


def test_findings_are_ignored_by_code_or_all_at_once(flexpack, service, template):
    bad = ["run", "a", "--template-file-gcs-location", SPEC, *GOOD, "--parameters=device=cuda"]
    status, _, err = flexpack(*bad)
    assert status == 2
    assert "ERROR gpu-missing: --parameters device=cuda: the job asks for no accelerator" in err
    assert "    Add --accelerator nvidia-l4:1" in err
    assert flexpack(*bad, "--async", "--ignore", "gpu-missing")[0] == 0
    service.jobs.clear()
    assert flexpack(*bad, "--async", "--no-check")[0] == 0
    status, _, err = flexpack(*bad, "--ignore", "gpu-mising")
    assert status == 2
    assert "--ignore 'gpu-mising': no such code; did you mean 'gpu-missing'?" in err


def test_a_missing_spec_launches_nothing(flexpack, service, template):
    status, _, err = flexpack("run", "a", "--template-file-gcs-location", "gs://my-bucket/x.json")
    assert status == 2
    assert err == (
        "flexpack: --template-file-gcs-location gs://my-bucket/x.json: there is no such object; "
        "'flexpack build' writes it\n"
    )
    assert service.launch_calls == 0


def test_a_refusal_of_the_service_is_shown_in_its_words(flexpack, service, template):
    service.launch_faults.append("400")
    status, _, err = flexpack("run", "fashion", "--template-file-gcs-location", SPEC, *GOOD)
    assert status == 1
    assert err == (
        "flexpack: launching 'fashion': Dataflow answered 400 INVALID_ARGUMENT: The template "
        "parameters are invalid.\n  input: Missing required parameter\n"
    )


METRICS = [
    {
        "name": {"origin": "user", "name": name, "context": {"namespace": "flexpack", "step": "s"}},
        "scalar": value,
    }
    for name, value in (("rows_read", 1000), ("predictions", 998), ("dead_letters", 2))
] + [{"name": {"origin": "dataflow/v1b3", "name": "ElementCount"}, "scalar": 7}]
ERROR_MESSAGE = {
    "id": "1",
    "time": "2026-11-22T13:00:05Z",
    "messageText": "Traceback\n  boom",
    "messageImportance": "JOB_MESSAGE_ERROR",
}


def test_wait_shows_progress_and_exits_by_the_outcome(flexpack, cloud):
    job_id = cloud.add_job("fashion", currentState="JOB_STATE_DONE")["id"]
    cloud.metrics = METRICS

    status, out, err = flexpack("jobs", "wait", job_id)
    assert (status, err) == (0, "")
    assert "JOB_STATE_DONE\n" in out
    assert out.rstrip().endswith(": 1,000 rows read, 998 predictions, 2 dead letters")

    cloud.metrics = [METRICS[0], METRICS[2]]
    status, _, err = flexpack("jobs", "wait", job_id)
    assert status == 0
    assert "warning: nothing was predicted; every row is a dead letter" in err

    cloud.jobs[0]["currentState"] = "JOB_STATE_FAILED"
    cloud.messages = [ERROR_MESSAGE]
    status, out, err = flexpack("jobs", "wait", job_id)
    assert status == 1
    assert "ERROR: Traceback\n" in out
    assert "\n            boom\n" in out
    assert err == (
        f"flexpack: job {job_id} failed; its messages stand above, and again with "
        f"'flexpack jobs messages {job_id} --importance error'\n"
    )


def test_wait_gives_up_in_time(flexpack, cloud):
    job_id = cloud.add_job("fashion", currentState="JOB_STATE_RUNNING")["id"]
    status, _, err = flexpack("jobs", "wait", job_id, "--timeout-sec", "0")
    assert status == 1
    assert f"stop it with 'flexpack jobs cancel {job_id}'" in err


def test_accelerators(flexpack):
    status, out, _ = flexpack("accelerators")
    assert status == 0
    assert out.startswith("ACCELERATOR ")
    assert "\nnvidia-l4              1,2,4,8" in out
    assert "CUDA 13 needs 580 or newer" in out
    assert "Not nvidia-tesla-k80: Compute Engine has retired it; the nearest is" in out
    _, out, _ = flexpack("accelerators", "--format", "json")
    assert json.loads(out)["accelerators"][0]["type"] == "nvidia-l4"


def test_list(flexpack, cloud):
    assert flexpack("jobs", "list") == (0, "No such jobs.\n", "")
    cloud.add_job("first", currentState="JOB_STATE_DONE")
    cloud.add_job("second", currentState="JOB_STATE_RUNNING")

    _, out, _ = flexpack("jobs", "list")
    title, second, first = out.splitlines()
    assert title.split() == ["JOB_ID", "NAME", "STATE", "CREATED"]
    assert second.split()[:3] == ["2026-11-22_05_00_00-2", "second", "JOB_STATE_RUNNING"]
    assert first.split()[:3] == ["2026-11-22_05_00_00-1", "first", "JOB_STATE_DONE"]

    _, out, _ = flexpack("jobs", "list", "--format", "json", "--name", "first", "--limit", "1")
    assert [job["name"] for job in json.loads(out)] == ["first"]


def test_describe(flexpack, cloud):
    job_id = cloud.add_job(
        "fashion", currentState="JOB_STATE_DONE", type="JOB_TYPE_BATCH", labels={"team": "ml"}
    )["id"]
    cloud.metrics = METRICS

    status, out, _ = flexpack("jobs", "describe", job_id)
    assert status == 0
    assert "type     batch\n" in out
    assert "labels   team=ml\n" in out
    assert "rows     1,000 read, 998 predictions, 2 dead letters\n" in out

    _, out, _ = flexpack("jobs", "describe", job_id, "--format", "json")
    assert json.loads(out)["currentState"] == "JOB_STATE_DONE"

    status, _, err = flexpack("jobs", "describe", "x")
    assert status == 1
    assert "Information about job x could not be found" in err


def test_messages(flexpack, cloud):
    assert flexpack("jobs", "messages", "1", "--importance", "error") == (
        0,
        "No messages of importance error or above.\n",
        "",
    )
    cloud.messages = [ERROR_MESSAGE]
    _, out, _ = flexpack("jobs", "messages", "1")
    assert out.endswith("  ERROR     Traceback\n  boom\n")
    _, out, _ = flexpack("jobs", "messages", "1", "--format", "json")
    assert json.loads(out) == [ERROR_MESSAGE | {"time": "2026-11-22T13:00:05Z"}]


def test_metrics(flexpack, cloud):
    assert flexpack("jobs", "metrics", "1") == (0, "No metrics yet.\n", "")
    cloud.metrics = METRICS
    _, out, _ = flexpack("jobs", "metrics", "1")
    assert [line.split() for line in out.splitlines()] == [
        ["NAME", "NAMESPACE", "STEP", "VALUE"],
        ["dead_letters", "flexpack", "s", "2"],
        ["predictions", "flexpack", "s", "998"],
        ["rows_read", "flexpack", "s", "1,000"],
    ]
    _, out, _ = flexpack("jobs", "metrics", "1", "--source", "service", "--format", "json")
    assert json.loads(out) == [METRICS[-1]]


def test_cancel_and_drain(flexpack, cloud):
    job_id = cloud.add_job("fashion")["id"]
    status, out, _ = flexpack("jobs", "cancel", job_id, "--force")
    assert status == 0
    assert f"flexpack jobs wait {job_id}" in out
    status, out, _ = flexpack("jobs", "drain", job_id)
    assert status == 0
    states = [json.loads(body)["requestedState"] for method, body in cloud.calls if method == "PUT"]
    assert states == ["JOB_STATE_CANCELLED", "JOB_STATE_DRAINED"]


def test_metadata_check_names_what_is_stale(flexpack, tmp_path):
    root = str(tmp_path)
    (tmp_path / "metadata").mkdir()
    status, _, err = flexpack("metadata", "--check", "--project-root", root)
    assert status == 1
    assert err.startswith("flexpack: metadata/batch.json")
    assert ": not what " in err
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
    assert (status, out) == (0, f"No local Dataflow runs on {folder}.\n")
