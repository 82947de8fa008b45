"""One run of one job: its processes, one after another, and their reports.

The executor is started first and waits for the job, so that it imports Beam while the launcher does
the same. However a run ends, no process is left behind.
"""

from __future__ import annotations

import functools
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from launcher.emulator.runtime import staging, temp
from launcher.emulator.runtime.announcements import Announcer
from launcher.emulator.runtime.errors import JobFailedError, WorkflowFailedError
from launcher.emulator.runtime.events import (
    AcknowledgedEvent,
    Event,
    Importance,
    MessageEvent,
    MetricsEvent,
    Report,
    StagedEvent,
    StateEvent,
    SubscriptionEvent,
    Updates,
)
from launcher.emulator.runtime.execution import Drain, Execution, Preparation, WorkerCommand
from launcher.emulator.runtime.executor_process import ExecutorDiedError, ExecutorProcess
from launcher.emulator.runtime.images import (
    Image,
    ImageRegistry,
    UnknownImage,
    describe_stock_image,
)
from launcher.emulator.runtime.launch import Launch
from launcher.emulator.runtime.launcher_process import LauncherProcess
from launcher.emulator.runtime.metric_totals import add_metrics
from launcher.emulator.runtime.oci_enter import RUN_DIR_VARIABLE
from launcher.emulator.runtime.processes import Children
from launcher.emulator.runtime.states import JobState
from launcher.emulator.runtime.subscriptions import HOST_VARIABLE, MISSING, delete_subscription
from launcher.emulator.runtime.usage import UsageMeter
from launcher.emulator.runtime.warm import WarmParent, WarmProcesses
from launcher.emulator.runtime.worker_count import count_workers, count_workers_ahead
from launcher.emulator.storage.store import ObjectStore

_LOG = logging.getLogger(__name__)
_MOST_CONSOLE_MESSAGES = 1000
_LONGEST_CONSOLE_MESSAGE = 10_000
# If a streaming job's executor dies, it gets a successor, unless several in a row died this soon.
_SOON_SEC = 30.0
_MOST_SOON = 3
_RECORD_AGAIN_SEC = 1.0
# The modules that all workers of the kit's templates import.
_TEMPLATE_MODULES = (
    "template.inference",
    "template.sources",
    "template.sinks.files",
    "template.sinks.finalize",
)
# What Beam stages for pip to install on the workers.
_INSTALLED_SUFFIXES = (".whl", ".tar.gz", ".zip")
_INSTALLED_NAMES = ("requirements.txt", "extra_packages.txt")


class JobRun:
    """Runs one job once. ``launch`` and ``execute`` belong to one thread."""

    def __init__(
        self,
        job_id: str,
        *,
        store: ObjectStore,
        images: ImageRegistry,
        endpoints: Mapping[str, str],
        report: Report,
        run_dir: Path,
        umask: int,
        running_sec: float = 0,
        warm: WarmProcesses | None = None,
    ) -> None:
        self._job_id = job_id
        self._warm = warm
        self._store = store
        self._images = images
        self._endpoints = endpoints
        self._send_report = report
        self._run_dir = run_dir
        self._umask = umask
        self._running_sec = running_sec
        self._running_since = 0.0
        self._temp_dir = temp.temp_dir_of(job_id)
        self._children = Children()
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._executor: ExecutorProcess | None = None
        self._drained = False
        self._announcer: Announcer | None = None
        self._running = False
        self._acknowledged: Updates = ()
        self._subscriptions: set[str] = set()
        self._usage = UsageMeter()

    def launch(self, launch: Launch) -> None:
        """Launch a Flex Template and execute the job that it stages; block until that has ended."""

        def work() -> None:
            worker = self._find_worker_ahead(launch)
            parent = self._find_warm_parent(launch, worker)
            executor = self._start_executor(worker, count_workers_ahead(launch), parent)
            job = self._run_launcher(launch, parent)
            self._report(StagedEvent(job))
            self._execute(job, executor)

        self._run(work)

    def execute(self, job: Mapping[str, Any]) -> None:
        """Execute a ``Job``; block until it has ended."""
        self._run(lambda: self._execute(job, self._start_executor(None)))

    def drain(self) -> None:
        """Let a streaming job end after the messages that it has taken. Returns at once."""
        with self._lock:
            self._drained = True
            if self._executor is not None:
                self._executor.send(Drain())

    def cancel(self) -> None:
        """Kill the run's processes and report nothing more; block until they are gone."""
        self._cancelled.set()
        self._children.kill_all()

    def report_usage(self) -> None:
        """Report the usage of the run's processes; call it from one thread only."""
        usage = self._usage.read(self._children.pids())
        if usage is not None:
            self._report(usage)

    def _run(self, work: Callable[[], None]) -> None:
        try:
            self._run_dir.mkdir(parents=True, exist_ok=True)
            self._temp_dir.mkdir(mode=0o700)
            work()
        except Exception as error:
            self._fail(_explain(self._job_id, error))
        finally:
            self._children.kill_all()
            temp.remove_temp_dir(self._temp_dir)
            self._delete_subscriptions()

    def _fail(self, messages: Sequence[str]) -> None:
        while not self._cancelled.is_set():
            try:
                for text in messages:
                    self._say(Importance.ERROR, text)
                if self._announcer is not None and self._running:
                    for event in self._announcer.end(success=False):
                        self._report(event)
                self._report(StateEvent(JobState.FAILED))
            except (OSError, sqlite3.Error) as error:
                # The disk may be full, and nothing else would ever record that the job has ended.
                _LOG.warning("the end of job %s cannot be recorded: %s", self._job_id, error)
                self._children.kill_all()
                self._cancelled.wait(_RECORD_AGAIN_SEC)
            else:
                return

    def _report(self, event: Event) -> None:
        if not self._cancelled.is_set():  # A cancelled job reports nothing further.
            self._send_report(event)

    def _say(self, importance: Importance, text: str) -> None:
        self._report(MessageEvent(importance, text))

    def _find_warm_parent(self, launch: Launch, worker: WorkerCommand | None) -> WarmParent | None:
        """Return the process that can fork launcher, executor and workers, or None."""
        if self._warm is None or worker is None:
            return None
        try:
            image = self._images.find(launch.image)
        except UnknownImage:
            return None
        if worker != self._build_worker(image):
            return None
        return self._warm.prepare(image, self._process_env(image), self._cancelled)

    def _run_launcher(self, launch: Launch, parent: WarmParent | None) -> Mapping[str, Any]:
        try:
            image = self._images.find(launch.image)
        except UnknownImage as error:
            raise _pull_failed(launch.image, error) from error
        process = LauncherProcess(launch, self._job_id, image, self._store)
        self._say(
            Importance.BASIC,
            f"Console log from launcher will be available at {process.folder}/console_logs.",
        )
        lines = 0

        def report_line(line: str) -> None:
            nonlocal lines
            lines += 1
            if lines <= _MOST_CONSOLE_MESSAGES:
                self._say(Importance.DETAILED, line[:_LONGEST_CONSOLE_MESSAGE])
            if lines == _MOST_CONSOLE_MESSAGES:
                self._say(Importance.DETAILED, "The rest is in the console log.")

        return process.run(
            self._children,
            process_env=self._process_env(image),
            umask=self._umask,
            report_line=report_line,
            warm=parent,
        )

    def _process_env(self, image: Image) -> dict[str, str]:
        # google-auth must not find the local user's credentials.
        own = {"CLOUDSDK_CONFIG": str(self._run_dir / "gcloud")}
        if image.root is not None:  # It has its own /tmp.
            own[RUN_DIR_VARIABLE] = str(self._run_dir)
        elif temp.VARIABLE not in image.env:
            own[temp.VARIABLE] = str(self._temp_dir)
        return image.process_env({**own, **self._endpoints})

    def _start_executor(
        self,
        worker: WorkerCommand | None,
        num_workers: int = 1,
        parent: WarmParent | None = None,
    ) -> ExecutorProcess:
        preparation = Preparation(
            run_dir=self._run_dir,
            umask=self._umask,
            worker=worker,
            num_workers=num_workers,
            is_warm=parent is not None,
        )
        return ExecutorProcess(self._children, preparation, temp_dir=self._temp_dir, warm=parent)

    def _execute(self, job: Mapping[str, Any], executor: ExecutorProcess) -> None:
        self._report(StateEvent(JobState.PENDING))
        execution = self._prepare(job)
        self._announcer = Announcer(self._job_id, job, workers=execution.num_workers)
        soon = 0
        while True:
            started = time.monotonic()
            with self._lock:
                self._executor = executor
                executor.send(execution)
                if self._drained:
                    executor.send(Drain())
            try:
                return executor.follow(functools.partial(self._take, earlier=self._acknowledged))
            except ExecutorDiedError as error:
                soon = soon + 1 if time.monotonic() - started < _SOON_SEC else 0
                if not execution.streaming or soon == _MOST_SOON or self._cancelled.is_set():
                    raise
                self._say(
                    Importance.WARNING,
                    f"{error.problem}. A new one takes its place; messages that were not "
                    "acknowledged are delivered again.",
                )
            worker = next(iter(execution.workers.values()), None)
            executor = self._start_executor(worker, execution.num_workers)

    def _prepare(self, job: Mapping[str, Any]) -> Execution:
        """Copy a job's files into its folder."""
        streaming = job.get("type") == "JOB_TYPE_STREAMING"
        pubsub_host = self._endpoints.get(HOST_VARIABLE)
        if streaming and pubsub_host is None:
            raise WorkflowFailedError(MISSING)
        execution = Execution(
            run_dir=self._run_dir,
            options=staging.pipeline_options(job),
            workers={image: self._find_worker(image) for image in staging.worker_images(job)},
            num_workers=count_workers(staging.pipeline_options(job), cores=os.cpu_count() or 1),
            pubsub_host=pubsub_host if streaming else None,
        )
        staging.fetch_pipeline(job, self._store, execution.pipeline_file)
        packages = staging.fetch_packages(job, self._store, execution.packages_dir)
        self._warn_of_packages(packages)
        return execution

    def _take(self, event: Event, *, earlier: Updates) -> None:
        """Handle one report of an executor; ``earlier`` are its predecessors' counts."""
        match event:
            case SubscriptionEvent(subscription):
                self._subscriptions.add(subscription)
            case AcknowledgedEvent(updates):
                self._acknowledged = add_metrics(earlier, updates)
            case MetricsEvent(updates):
                self._report(MetricsEvent(add_metrics(earlier, updates)))
            case StateEvent(JobState.RUNNING) if self._running:
                pass  # The job is in that state already, or it drains.
            case StateEvent(JobState.RUNNING):
                self._running, self._running_since = True, time.monotonic()
                self._announce(event)
            case StateEvent(JobState.DONE):
                self._stay_running()
                self._announce(event)
            case _:
                self._announce(event)

    def _announce(self, event: Event) -> None:
        assert self._announcer is not None
        for each in self._announcer.around(event):
            self._report(each)

    def _stay_running(self) -> None:
        """Wait until the job has been RUNNING for the required time."""
        rest_sec = self._running_since + self._running_sec - time.monotonic()
        if rest_sec > 0:
            self._say(
                Importance.BASIC,
                f"The job is done and stays RUNNING for {rest_sec:.0f} s, because the local "
                f"Dataflow was started with --running-sec {self._running_sec:g}.",
            )
            self._cancelled.wait(rest_sec)

    def _delete_subscriptions(self) -> None:
        # If this process is killed instead, Pub/Sub ends with it and forgets them all.
        for subscription in self._subscriptions:
            problem = delete_subscription(self._endpoints[HOST_VARIABLE], subscription)
            if problem:
                _LOG.warning("job %s leaves %s behind: %s", self._job_id, subscription, problem)

    def _find_worker_ahead(self, launch: Launch) -> WorkerCommand | None:
        reference = launch.expected_worker_image
        try:
            return self._build_worker(self._images.find(reference)) if reference else None
        except UnknownImage:
            return None  # If the job uses it, the job fails at that point.

    def _find_worker(self, reference: str) -> WorkerCommand:
        try:
            return self._build_worker(self._images.find(reference))
        except UnknownImage as error:
            warning = describe_stock_image(reference)
            if warning is None:
                raise _pull_failed(reference, error) from error
            self._say(Importance.WARNING, warning)
            return self._build_worker(Image(self._images.local.python, self._run_dir, {}))

    def _build_worker(self, image: Image) -> WorkerCommand:
        return WorkerCommand(
            python=str(image.python),
            workdir=str(image.workdir),
            process_env=self._process_env(image),
            modules=_TEMPLATE_MODULES if image.runs_template else (),
        )

    def _warn_of_packages(self, names: Sequence[str]) -> None:
        installed = [
            name for name in names if name.endswith(_INSTALLED_SUFFIXES) or name in _INSTALLED_NAMES
        ]
        if installed:
            self._say(
                Importance.WARNING,
                f"Staged packages are not installed on local workers: {', '.join(installed)}. "
                "Their contents must be in the environment of the workers' image.",
            )


def _explain(job_id: str, error: Exception) -> Sequence[str]:
    """Return the messages of the error that ended a job."""
    if isinstance(error, JobFailedError):
        return error.messages
    _LOG.error("job %s", job_id, exc_info=error)
    return [f"Internal error of the local Dataflow: {type(error).__name__}: {error}"]


def _pull_failed(reference: str, error: UnknownImage) -> WorkflowFailedError:
    return WorkflowFailedError(
        f"Unable to pull container image due to error: {reference}: not found.", str(error)
    )
