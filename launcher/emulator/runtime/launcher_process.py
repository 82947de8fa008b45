"""The launcher of a Flex Template: does what Google's ``python_template_launcher`` does on its VM.

Runs the image's entry file with the launch's flags, keeps its console output, and returns the Job
that the program staged instead of creating it.
https://cloud.google.com/dataflow/docs/guides/templates/configuring-flex-templates

UNCONFIRMED, because the launcher's source is not public: that FLEX_TEMPLATE_PYTHON_PY_OPTIONS are
options of the interpreter, and the content of ``operation_result``.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from launcher.emulator.runtime.console import Console, launcher_line
from launcher.emulator.runtime.errors import LaunchFailedError
from launcher.emulator.runtime.images import PY_FILE, Image
from launcher.emulator.runtime.launch import Launch, build_flags, sort_flags
from launcher.emulator.runtime.processes import Child, Children
from launcher.emulator.runtime.staging import pipeline_options, split_gs_url
from launcher.emulator.runtime.warm import WarmParent, start
from launcher.emulator.storage.errors import NotFound
from launcher.emulator.storage.store import ObjectStore
from launcher.emulator.strict_json import parse_strictly

_PY_OPTIONS = "FLEX_TEMPLATE_PYTHON_PY_OPTIONS"
_STAGING_FLAGS: Mapping[str, str] = {
    "FLEX_TEMPLATE_PYTHON_REQUIREMENTS_FILE": "requirements_file",
    "FLEX_TEMPLATE_PYTHON_SETUP_FILE": "setup_file",
}
_EXTRA_PACKAGES = "FLEX_TEMPLATE_PYTHON_EXTRA_PACKAGES"

_FAILED = "Error occurred in the launcher container: "
_TRACEBACK = "Traceback (most recent call last):"
_CONSOLE_TAIL_LINES = 20
_OWN_LINES = (
    ("python_template_launcher.go:36", "Started template launcher."),
    ("python_template_launcher.go:38", "Initialize Python template."),
)
_LONGEST_LINE_BYTES = 1 << 16  # a longer line arrives as several
# The remaining output of a program that has ended is read until nothing arrives for a second, and
# no longer than so many: a process that it leaves behind may hold the pipe open for ever.
_MOST_WAITS = 10

# Of Linux: MAX_ARG_STRLEN, and a quarter of the usual 8 MiB of stack with room for the environment.
_LONGEST_ARGUMENT_BYTES = (128 << 10) - 1
_MOST_ARGUMENTS_BYTES = 1_900_000
_LONGEST_NAME = 100  # characters that are shown
# Texts of the console, with their remedies.
_REMEDIES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"error: (?:unrecognized arguments|no such option)"),
        "The launcher passes options beyond the template's own parameters (--runner, --project, "
        "--template_location and others): let the entry file call parser.parse_known_args() and "
        "give the rest to PipelineOptions.",
    ),
    (
        re.compile(r"Can not query metrics\. Job id is unknown|Failed to get the Dataflow job id"),
        "In a Flex Template pipeline.run() only stages the job: the entry file must not ask for "
        "metrics or cancel afterwards.",
    ),
    (
        re.compile(r"ModuleNotFoundError: No module named"),
        "The module is not in the template's image: install it there, or put it into the image's "
        "working directory.",
    ),
)


def build_command(launch: Launch, image: Image, template_location: str) -> list[str]:
    """Return the command line of the entry file.

    Raises:
        LaunchFailedError: the image has no entry file, or names one that does not exist.
    """
    name = image.env.get(PY_FILE)
    if not name:
        raise LaunchFailedError(
            f"{_FAILED}could not determine py file from env",
            f"Set {PY_FILE} in the image {launch.image}: "
            f'ENV {PY_FILE}="main.py" in its Dockerfile, '
            "and the same under env in images.toml.",
        )
    path = image.find_file(name)
    if not path.is_file():
        raise LaunchFailedError(
            f"{_FAILED}file {path} does not exist",
            f"{PY_FILE} of the image {launch.image} is {name!r}, "
            f"relative to its working directory {image.workdir}: correct one of them.",
        )
    staged = [
        f"--{flag}={image.env[variable]}"
        for variable, flag in _STAGING_FLAGS.items()
        if image.env.get(variable)
    ]
    extra = filter(None, image.env.get(_EXTRA_PACKAGES, "").split(","))
    staged += [f"--extra_package={package}" for package in extra]
    options = shlex.split(image.env.get(_PY_OPTIONS, ""))
    flags = sort_flags([*build_flags(launch, template_location), *staged])
    _check_arguments(flags)
    return [str(image.python), *options, name, *flags]


def _check_arguments(flags: Sequence[str]) -> None:
    """Raise LaunchFailedError if no program can be started with these arguments.

    UNCONFIRMED: that Dataflow's launcher, which is written in Go, fails with these words of Go's.
    """
    for flag in flags:
        name = flag.partition("=")[0][:_LONGEST_NAME]
        size = len(flag.encode(errors="surrogatepass"))
        if "\0" in flag:
            raise LaunchFailedError(
                f"{_FAILED}fork/exec: invalid argument",
                f"{name!r} contains a NUL character, which is not possible in a program's "
                "arguments: remove it.",
            )
        if size > _LONGEST_ARGUMENT_BYTES:
            raise LaunchFailedError(
                f"{_FAILED}fork/exec: argument list too long",
                f"{name!r} has {size:,} bytes, but an argument of a Linux program can have at most "
                f"{_LONGEST_ARGUMENT_BYTES:,}: put the value into a file in Cloud Storage.",
            )
    total = sum(len(flag.encode(errors="surrogatepass")) for flag in flags)
    if total > _MOST_ARGUMENTS_BYTES:
        raise LaunchFailedError(
            f"{_FAILED}fork/exec: argument list too long",
            f"The parameters have {total:,} bytes in total, but a Linux program accepts about "
            f"{_MOST_ARGUMENTS_BYTES:,}: put large values into files in Cloud Storage.",
        )


class LauncherProcess:
    """The launcher of one job; used once."""

    def __init__(self, launch: Launch, job_id: str, image: Image, store: ObjectStore) -> None:
        self.folder = launch.folder(job_id)
        self._launch = launch
        self._image = image
        self._store = store
        self._job_id = job_id
        self._console = Console()
        self._footer = ""

    def run(
        self,
        children: Children,
        *,
        process_env: Mapping[str, str],
        umask: int,
        report_line: Callable[[str], None],
        warm: WarmParent | None = None,
    ) -> Mapping[str, Any]:
        """Run the entry file and return the Job that it staged; block until then.

        Whatever happens, the console output is written to ``console_logs`` in the launch's folder,
        and each line is passed to ``report_line``.

        Raises:
            LaunchFailedError: the program failed, took too long or staged no job.
            ChildrenClosedError: the job was cancelled.
        """
        self._check_staging_bucket()
        error: str | None = "cancelled"
        try:
            child = start(
                children,
                build_command(self._launch, self._image, f"{self.folder}/job_object"),
                warm=warm,
                role="launcher",
                cwd=self._image.workdir,
                env=process_env,
                umask=umask,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            self._wait(child, report_line)
            error = None
        except LaunchFailedError as failure:
            error = failure.service_text
            raise
        finally:
            self._write("console_logs", self._console_logs())
            result = {"done": True} | ({"error": {"code": 2, "message": error}} if error else {})
            self._write("operation_result", json.dumps(result).encode())
        return self._read_job_object()

    def _wait(self, child: Child, report_line: Callable[[str], None]) -> None:
        console = self._console

        def collect() -> None:
            while raw := child.stdout.readline(_LONGEST_LINE_BYTES):
                line = raw.decode(errors="replace")
                console.add(line)
                report_line(line.rstrip())

        reader = threading.Thread(target=collect, name=f"console-{self.folder}", daemon=True)
        reader.start()
        status = child.wait(self._launch.launch_timeout_sec)
        if status is None:
            child.kill()
        for _ in range(_MOST_WAITS):
            lines = console.lines
            reader.join(1.0)
            if console.lines == lines:
                break
        if status is None:
            raise self._timeout()
        if status != 0:
            text = console.text
            self._footer = (
                f"python failed with exit status {status}\n"
                f"Error: Template launch failed: exit status {status}\n"
            )
            raise LaunchFailedError(
                f"{_FAILED}Template launch failed. See console logs.",
                _find_remedy(text)
                or f"The entry file failed with exit status {status}: fix the error above. "
                f"Its whole output is in {self.folder}/console_logs.",
                find_last_output(text),
            )

    def _timeout(self) -> LaunchFailedError:
        launch = self._launch
        account = launch.runtime_environment.get(
            "serviceAccountEmail", "the default service account"
        )
        return LaunchFailedError(
            f"Timeout in polling result file: {self.folder}/operation_result.\n"
            f"Service account: {account}\n"
            f"Image URL: {launch.image}\n"
            "Troubleshooting guide at "
            "https://cloud.google.com/dataflow/docs/guides/common-errors#timeout-polling",
            f"The launcher had {launch.launch_timeout_sec:g} s and was stopped. If the entry file "
            "does need longer, raise the limit: launchParameter.launchOptions "
            '{"ft_launch_timeout_secs": "600"}.',
            find_last_output(self._console.text),
        )

    def _check_staging_bucket(self) -> None:
        bucket, _ = split_gs_url(self.folder)
        try:
            self._store.get_bucket(bucket)
        except NotFound as error:
            path = f"{self.folder}/operation_result"
            raise LaunchFailedError(
                f"Failed to read the result file : {path} with error message: "
                f"Unable to open template file: {path}..",
                f"The bucket of the staging location {self._launch.staging_location} does not "
                f"exist: create it (gcloud storage buckets create gs://{bucket}) or name another.",
            ) from error

    def _read_job_object(self) -> Mapping[str, Any]:
        path = f"{self.folder}/job_object"
        output = find_last_output(self._console.text)
        failed = f"Failed to read the job file : {path} with error message: "
        try:
            job = parse_strictly(self._store.read(*split_gs_url(path)))
        except NotFound as error:
            raise LaunchFailedError(
                f"{failed}Unable to open template file: {path}..",
                "The entry file ended well but staged no job: it must run its pipeline with the "
                "options that it was given, and must not set runner, project, job_name, region or "
                "template_location itself.",
                output,
            ) from error
        except ValueError as error:
            raise LaunchFailedError(
                f"{failed}{error}", f"What was written to {path} is not JSON.", output
            ) from error
        if not isinstance(job, dict):
            raise LaunchFailedError(
                f"{failed}not a Job", f"What was written to {path} is not a Job.", output
            )
        changed = self._find_overwritten(job)
        if changed:
            raise LaunchFailedError(
                f"Failed to read the job file : {path}...",
                f"The entry file overwrites options of the launcher: {'; '.join(changed)}. It "
                "must leave runner, project, job_name, region and template_location as they are.",
                output,
            )
        return job

    def _find_overwritten(self, job: Mapping[str, Any]) -> list[str]:
        """Return the launcher's options that a staged job has changed, in words.

        Dataflow's documentation forbids it and names the error; UNCONFIRMED: that the service
        always notices.
        https://cloud.google.com/dataflow/docs/guides/troubleshoot-templates
        """
        options = pipeline_options(job)
        launch = self._launch
        given = {
            "job_name": launch.job_name,
            "project": launch.project_id,
            "region": launch.region,
        }
        return [
            f"{name} is {options[name]!r}, not {value!r}"
            for name, value in given.items()
            if options.get(name, value) != value
        ]

    def _console_logs(self) -> bytes:
        # The launcher's own two lines were recorded. UNCONFIRMED: that the program's output follows
        # unchanged.
        own = "".join(
            launcher_line(source, text, container_id=self._job_id) for source, text in _OWN_LINES
        )
        return f"{own}{self._console.text}{self._footer}".encode()

    def _write(self, name: str, data: bytes) -> None:
        bucket, path = split_gs_url(f"{self.folder}/{name}")
        self._store.write(bucket, path, data, content_type="text/plain")


def find_last_output(console: str) -> str:
    """Return the last traceback in a program's output, or else its last lines."""
    start = console.rfind(_TRACEBACK)
    if start >= 0:
        return console[start:].rstrip()
    return "\n".join(console.rstrip().splitlines()[-_CONSOLE_TAIL_LINES:])


def _find_remedy(console: str) -> str:
    return next((remedy for pattern, remedy in _REMEDIES if pattern.search(console)), "")
