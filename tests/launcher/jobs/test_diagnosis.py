"""Why a job failed, as the user sees it."""

from __future__ import annotations

import re
from datetime import date

import pytest

from launcher.cli import main
from launcher.emulator.runtime.events import Importance
from launcher.finding import CODES, Depth
from launcher.jobs.diagnosis import diagnose
from launcher.jobs.failures import load_failures
from tests.launcher.jobs.test_tracebacks import CONSOLE, FAILED_CALL, FRAMES, KIT

# Messages of Dataflow, the launcher, Beam, torch and pip, each with the failure that it reveals.
TEXTS = [
    (
        "flags-swallowed",
        "ValueError: Pipeline has validations errors: \nMissing required option: project.",
    ),
    ("not-there", "OSError: No files found based on the file pattern gs://b/in/*.csv"),
    ("launcher-killed", "Error: Template launch failed: signal: killed"),
    ("launcher-killed", "python failed with exit status -9"),
    (
        "bfloat16",
        "DeviceError: --precision bfloat16: Tesla T4 (cuda, compute capability 7.5) "
        "does not support it. Pass --precision=float16 or omit it.",
    ),
    (
        "strict-parser",
        "usage: main.py [-h] [--input INPUT]\n"
        "main.py: error: unrecognized arguments: --job_name=a --project=p --region=r",
    ),
    ("metrics-in-launcher", "ValueError: Can not query metrics. Job id is unknown."),
    (
        "versions-differ",
        "RuntimeError: Pipeline construction environment and pipeline runtime environment are not "
        "compatible. If you use a custom container image, check that ... Submission environment: "
        "beam:version:sdk_base:apache/beam_python3.10_sdk:2.50.0rc1.",
    ),
    ("versions-differ", "SystemError: unknown opcode"),
    (
        "hidden-environment",
        "The virtual environment was not created successfully because ensurepip is not available.",
    ),
    (
        "weights-only",
        "_pickle.UnpicklingError: Weights only load failed. In PyTorch 2.6, we changed the default",
    ),
    (
        "weights-misfit",
        "RuntimeError: Error(s) in loading state_dict for Network:\n"
        "\tsize mismatch for layers.0.weight: copying a param with shape torch.Size([16, 3])",
    ),
    ("weights-misfit", "ValueError: gs://b/m.pth: not the weights of this network: missing a"),
    (
        "package-conflict",
        "TypeError: canonicalize_version() got an unexpected keyword argument "
        "'strip_trailing_zero'",
    ),
    ("workers-lack-code", "ModuleNotFoundError: No module named 'sendgrid'"),
    ("main-session", "NameError: name 'beam' is not defined"),
    (
        "no-kernel-image",
        "RuntimeError: CUDA error: no kernel image is available for execution on the device",
    ),
    (
        "driver-too-old",
        "RuntimeError: The NVIDIA driver on your system is too old (found version 12020).",
    ),
    (
        "silent-cpu",
        "Model handler specified a 'GPU' device, but GPUs are not available. Switching to CPU.",
    ),
    (
        "device-mismatch",
        "RuntimeError: Expected all tensors to be on the same device, but found at least two "
        "devices, cpu and cuda:0!",
    ),
    (
        "batch-out-of-memory",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    ),
    ("gpu-out-of-memory", "SDK harness sdk-0-3 disconnected."),
    ("unequal-shapes", "RuntimeError: stack expects each tensor to be equal size, but got"),
    ("graph-too-big", "413: Request payload size exceeds the limit: 20971520 bytes."),
    (
        "set-twice",
        "Runtime parameter workerMachineType should not be specified in both parameters field and "
        "environment field.",
    ),
    ("parameter-unrecognized", "The template parameters are invalid. Details: x: Unrecognized"),
    ("comma-in-parameters", "ERROR: argument --parameters: Bad syntax for dict arg: [b]"),
    (
        "no-capacity",
        "Startup of the worker pool in zone us-central1-a failed to bring up any of the desired 1 "
        "workers. ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS: Instance 'i' creation failed: The "
        "zone 'projects/p/zones/us-central1-a' does not have enough resources available to fulfill "
        "the request. '(resource type:compute)'.",
    ),
    (
        "quota",
        "QUOTA_EXCEEDED: Instance 'i' creation failed: Quota 'NVIDIA_T4_GPUS' exceeded. "
        "Limit: 32.0 in region us-central1.",
    ),
    ("disk-full", "OSError: [Errno 28] No space left on device"),
    (
        "machine-mismatch",
        "UNSUPPORTED_OPERATION: Instance i creation failed: Instances with guest accelerators do "
        "not support live migration",
    ),
    (
        "launcher-vm",
        "Failed to start the VM, launcher-2026112201, used for launching because of status code: "
        "RESOURCE_EXHAUSTED, reason: later",
    ),
    (
        "network-unreachable",
        "Subnetwork should be specified for custom subnetmode network",
    ),
    (
        "gpu-out-of-memory",
        "Worker worker-4 was killed by signal 9 (SIGKILL), as the kernel does when memory runs out",
    ),
    ("private-registry", "Error syncing pod: ImagePullBackOff: 403 Forbidden"),
    (
        "permission-denied",
        'Permission "artifactregistry.repositories.downloadArtifacts" denied on resource "r"',
    ),
    ("wrong-entrypoint", "flag provided but not defined: -logging_endpoint"),
    (
        "wrong-entrypoint",
        "Error occurred in the launcher container: could not determine py file from env",
    ),
    ("wrong-architecture", "exec /opt/apache/beam/boot: exec format error"),
    ("secure-boot", "modprobe: ERROR: could not insert 'nvidia': Required key not available"),
    ("deadlock", "Unable to retrieve status info from SDK harness sdk-0-0 within allowed time"),
    (
        "misread-outcome",
        "The Dataflow job appears to be stuck because no worker activity has been seen in the last "
        "1h.",
    ),
    ("other-region", "Cannot read and write in different locations: source: US, destination: EU"),
    ("duplicate-job", "(0123456789abcdef): There is already an active job named fashion."),
    ("job-file-missing", "Failed to read the job file : gs://b/staging/job_object"),
    ("launch-timeout", "Timeout in polling result file: gs://b/s/operation_result."),
    ("metadata-broken", "No SDK language information is provided."),
    ("local-address", "ConnectionRefusedError: localhost:8085: Connection refused"),
    (
        "stale-model",
        "ValueError: PCollection of size 2 with more than one element accessed as a singleton "
        "view. First two elements encountered are",
    ),
    (
        "launch-error-hidden",
        "Error occurred in the launcher container: Template launch failed. See console logs.",
    ),
]


@pytest.mark.parametrize(("failure", "text"), TEXTS)
def test_a_text_gives_its_failure_away(failure, text):
    diagnosis = diagnose([text])
    assert diagnosis.failure is not None
    assert diagnosis.failure.id == failure
    cause, remedy, *_ = diagnosis.format().splitlines()
    assert cause == f"Cause ({failure}): {diagnosis.failure.cause}"
    assert remedy == f"Remedy: {diagnosis.failure.remedy}"


def test_several_models_at_once_are_recognized_by_what_beam_raises():
    """The real mistake: RunInference gets a collection of two models as its update."""
    beam = pytest.importorskip("apache_beam")
    base = pytest.importorskip("apache_beam.ml.inference.base")

    class Handler(base.ModelHandler):
        def load_model(self):
            return None

        def run_inference(self, batch, model, inference_args=None):
            return batch

        def update_model_path(self, model_path=None):
            pass

    def run():
        with beam.Pipeline("FnApiRunner") as pipeline:
            models = [base.ModelMetadata(name, name) for name in ("old", "new")]
            updates = pipeline | "Models" >> beam.Create(models)
            infer = base.RunInference(Handler(), model_metadata_pcoll=updates)
            _ = pipeline | beam.Create([1]) | infer

    with pytest.raises(Exception, match="singleton") as caught:
        run()
    diagnosis = diagnose([str(caught.value)])
    assert diagnosis.failure.id == "stale-model"


def test_every_pattern_of_the_catalogue_has_such_a_text():
    failures = load_failures()
    assert date.fromisoformat(failures.checked)
    for failure in failures.failures:
        for pattern in failure.patterns:
            re.compile(pattern)
        assert bool(failure.patterns) == bool(failure.cause) == bool(failure.remedy), failure.id
    shown = {failure for failure, _ in TEXTS}
    assert shown == {failure.id for failure in failures.failures if failure.patterns}


def test_the_catalogue_names_codes_that_exist_and_every_code_but_the_unasked():
    named = {code for failure in load_failures().failures for code in failure.codes}
    known = {code.name for code in CODES}
    assert named <= known
    spare = {
        code.name
        for code in CODES
        if code.name not in named and code.depth is not Depth.IMAGE
        if not code.name.endswith(("-unasked", "-sample"))
    }
    assert spare == {
        *("image-tag", "image-weights", "entry-syntax", "entry-import", "output-exists"),
        *("parameter-local-path", "parameter-regex-unreadable"),
    }


def test_the_cause_comes_first_then_the_traceback():
    def describe(error):
        return diagnose([f"Error message from worker: {FRAMES}{error}"]).format()

    assert describe("KeyError: 7").startswith("Cause: KeyError: 7\nLast traceback:")
    known = describe("ModuleNotFoundError: No module named 'sendgrid'")
    assert known.startswith("Cause (workers-lack-code):")
    assert known.count("Traceback (most recent call last)") == 1


VERDICT = "none of the 200 rows read was predicted. Most frequent reasons: 199 x "
RAISED = f"""\
Error message from worker: Traceback (most recent call last):
  File "{KIT}/sinks/finalize.py", line 185, in process
    raise RunFailedError(verdict)
template.verdict.RunFailedError: {VERDICT}%s [while running 'Finalize/Verdict']
(attempt 1 of 4)"""


def test_a_run_without_predictions_shows_the_models_line_and_not_where_the_verdict_is_raised():
    other = f"predict raised ValueError: rare (logged once)\n{FRAMES}ValueError: rare"
    failed = RAISED % "KeyError: 'weightkg'; 1 x ValueError: rare"
    for texts in ([FAILED_CALL, other, failed], [other, FAILED_CALL, failed]):
        lines = diagnose(texts).format().splitlines()
        assert lines[0] == f"Cause: {VERDICT}KeyError: 'weightkg'; 1 x ValueError: rare"
        assert '      File "/orders/orders/model.py", line 37, in predict' in lines
        assert "finalize.py" not in "".join(lines)
        assert "ValueError: rare" not in "".join(lines[1:])


def test_a_verdict_about_rows_that_never_reached_the_model_has_no_traceback():
    text = diagnose([FAILED_CALL, RAISED % "UnreadableError: it is empty"]).format()
    assert text == f"Cause: {VERDICT}UnreadableError: it is empty"


def test_an_unknown_failure_without_a_traceback_has_the_services_cause():
    topic = "Topic projects/p/topics/none: not found"
    assert diagnose([f"Workflow failed. Causes: {topic}"]).format() == f"Cause: {topic}"
    assert diagnose([f"Workflow failed. Causes: A failed. Root cause: {topic}"]).cause == topic
    assert diagnose([]).cause == ""


def test_what_the_launcher_says_is_the_cause_and_not_that_it_is_hidden():
    diagnosis = diagnose(
        ["Error occurred in the launcher container: Template launch failed. See console logs."],
        console="--input 'gs://b/x': no column 'weight'\npython failed with exit status 2\n",
    )
    assert diagnosis.title == "The launch failed"
    assert diagnosis.cause == "the launcher ended with: --input 'gs://b/x': no column 'weight'"
    assert diagnosis.remedy == ""


def test_messages_around_an_exception_are_not_its_lines():
    diagnosis = diagnose([f"Error message from worker: {FRAMES}KeyError: 7", "Workflow failed."])
    assert diagnosis.traceback == f"{FRAMES}KeyError: 7"


def test_a_launcher_that_did_its_work_is_not_asked_why_the_job_failed():
    console = "INFO: template_location set, job object written"
    worker = diagnose(["Workflow failed. Causes: no such thing"], console=console)
    assert worker.console_tail == ""
    launcher = diagnose(["Timeout in polling result file: gs://b/x."], console=console)
    assert launcher.console_tail == console


def test_the_telling_part_of_a_long_line_is_shown():
    text = (
        f"Workflow failed. Causes: {'Read+' * 99}Predict. Worker was killed by signal 9 (SIGKILL)"
    )
    assert diagnose([text]).evidence == "killed by signal 9 (SIGKILL)"


def test_a_traceback_counts_more_than_the_message_that_wraps_it():
    diagnosis = diagnose(["Template launch failed. See console logs."], console=CONSOLE)
    assert diagnosis.failure.id == "workers-lack-code"
    assert diagnose(["all is well"]).format() == ""


@pytest.fixture
def failed(monkeypatch, service, storage):
    """A job that failed in its launcher, whose console log is in Cloud Storage."""
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW", service.endpoint)
    monkeypatch.setenv("CLOUDSDK_CORE_PROJECT", "my-project")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.endpoint)
    job_id = service.add_job("fashion", "FAILED").id
    folder = f"staging/template_launches/{job_id}"
    storage.store.write("my-bucket", f"{folder}/console_logs", CONSOLE.encode())
    path = f"gs://my-bucket/{folder}/console_logs"
    service.add_message(job_id, f"Console log from launcher will be available at {path}.")
    service.add_message(
        job_id,
        "Error occurred in the launcher container: Template launch failed. See console logs.",
        Importance.ERROR,
    )
    return job_id, path


def test_cause_and_remedy_are_shown_first(failed, capsys):
    job_id, path = failed
    assert main(["jobs", "wait", job_id]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"flexpack: job {job_id} failed."
    assert lines[1].startswith("Cause (workers-lack-code): A module that the pipeline needs")
    assert lines[2].startswith("Remedy: Add its package to the project's requirements.in")
    assert lines[3] == "Seen: ModuleNotFoundError: No module named 'sendgrid'"
    assert lines[4] == f"Last traceback of {path}:"
    assert lines[6] == '      File "/template/main.py", line 42, in <module>'


def test_without_console_logs_the_messages_are_diagnosed(failed, storage, capsys):
    job_id, path = failed
    storage.store.write("my-bucket", path.removeprefix("gs://my-bucket/"), b"")
    assert main(["jobs", "wait", job_id]) == 1
    assert "Cause (launch-error-hidden): The entry file failed" in capsys.readouterr().err


def test_where_there_is_no_traceback_the_last_lines_are_shown(failed, storage, capsys):
    job_id, path = failed
    console = "--input 'gs://b/x': no file matches this pattern\npython failed with exit status 2\n"
    storage.store.write("my-bucket", path.removeprefix("gs://my-bucket/"), console.encode())
    assert main(["jobs", "wait", job_id]) == 1
    err = capsys.readouterr().err
    cause = "the launcher ended with: --input 'gs://b/x': no file matches this pattern"
    assert f"failed.\nCause: {cause}\n" in err
