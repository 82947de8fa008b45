"""One run of one job: its processes one after the other, and what they report.

The executor is started first and waits for its order, so that it imports Beam while the launcher
does the same. Whatever ends a run, no process of it is left.
"""

from __future__ import annotations

import logging
import os
import platform
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from launcher.emulator.runtime import events, staging, temp
from launcher.emulator.runtime.events import GarbledEventsError
from launcher.emulator.runtime.execution import (
    Drain,
    ExecutionOrder,
    Preparation,
    WorkerEnvironment,
)
from launcher.emulator.runtime.images import (
    Image,
    ImageRegistry,
    StockImage,
    UnknownImage,
    find_stock_image,
)
from launcher.emulator.runtime.job_events import JobEvents, JobFailedError
from launcher.emulator.runtime.launcher_process import (
    LaunchFailedError,
    LaunchOrder,
    last_words,
    run_launcher,
)
from launcher.emulator.runtime.metric_totals import Updates, add_metrics
from launcher.emulator.runtime.oci_enter import RUN_DIR_VARIABLE
from launcher.emulator.runtime.processes import Child, Children
from launcher.emulator.runtime.staging import JobFilesError
from launcher.emulator.runtime.subscriptions import HOST_VARIABLE, MISSING, delete_subscription
from launcher.emulator.storage import ObjectStore

_LOG = logging.getLogger(__name__)
_EXECUTOR = (sys.executable, "-m", "launcher.emulator.executor")
_MOST_CONSOLE_MESSAGES = 1000
_TERMINAL = (events.DONE, events.DRAINED, events.FAILED)
# An executor of a streaming job that dies has a successor, unless it is one of several in a row
# that died so soon.
_SOON_SEC = 30.0
_RECORD_AGAIN_SEC = 1.0
_MOST_SOON = 3
# What Beam stages to be installed on the workers by pip.
_INSTALLED_SUFFIXES = (".whl", ".tar.gz", ".zip")
_INSTALLED_NAMES = ("requirements.txt", "extra_packages.txt")


class _ExecutorDiedError(JobFailedError):
    """The executor ended before its job did."""

    def __init__(self, problem: str, output: str) -> None:
        super().__init__(f"Workflow failed. Causes: {problem}.", output)
        self.problem = problem


class JobRun:
    """Runs one job once. All methods but ``drain`` and ``cancel`` belong to one thread."""

    def __init__(
        self,
        job_id: str,
        *,
        store: ObjectStore,
        images: ImageRegistry,
        endpoints: Mapping[str, str],
        events: JobEvents,
        run_dir: Path,
        umask: int,
    ) -> None:
        self._job_id = job_id
        self._store = store
        self._images = images
        self._endpoints = endpoints
        self._events = events
        self._run_dir = run_dir
        self._umask = umask
        self._temp_dir = temp.temp_dir_of(job_id)
        self._children = Children()
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._executor: Child | None = None
        self._drained = False
        self._running = False
        self._acknowledged: Updates = ()
        self._subscriptions: set[str] = set()

    def launch(self, order: LaunchOrder) -> None:
        """Launch a Flex Template and execute the job that it stages; block until that has ended."""

        def work() -> None:
            executor = self._start_executor(self._expected_worker(order))
            job = self._run_launcher(order)
            self._events.job_object(self._job_id, job)
            self._execute(job, executor)

        self._run(work)

    def execute(self, job: Mapping[str, Any]) -> None:
        """Execute a ``Job``; block until it has ended."""
        self._run(lambda: self._execute(job, self._start_executor(None)))

    def drain(self) -> None:
        """Let a streaming job end with the messages that it has. Returns at once."""
        with self._lock:
            self._drained = True
            if self._executor is not None:
                _tell(self._executor, Drain())

    def cancel(self) -> None:
        """Kill the processes of the run and report no more; block until they are gone."""
        self._cancelled.set()
        self._children.kill_all()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            self._run_dir.mkdir(parents=True, exist_ok=True)
            self._temp_dir.mkdir(mode=0o700)
            work()
        except Exception as error:
            if not self._cancelled.is_set():
                self._fail(_explain(self._job_id, error))
        finally:
            self._children.kill_all()
            temp.remove_temp_dir(self._temp_dir)
            self._delete_subscriptions()

    def _fail(self, messages: Sequence[str]) -> None:
        while not self._cancelled.is_set():
            try:
                for text in messages:
                    self._events.message(self._job_id, events.ERROR, text)
                self._events.state(self._job_id, events.FAILED)
            except (OSError, sqlite3.Error) as error:
                # As where the disk is full: nobody else would ever record that the job has ended.
                _LOG.warning("the end of job %s cannot be recorded: %s", self._job_id, error)
                self._children.kill_all()
                self._cancelled.wait(_RECORD_AGAIN_SEC)
            else:
                return

    def _say(self, importance: str, text: str) -> None:
        if not self._cancelled.is_set():
            self._events.message(self._job_id, importance, text)

    def _run_launcher(self, order: LaunchOrder) -> Mapping[str, Any]:
        try:
            image = self._images.find(order.image)
        except UnknownImage as error:
            raise _pull_failed(order.image, error) from error
        self._say(
            events.BASIC,
            f"Console log from launcher will be available at {order.launch_folder}/console_logs.",
        )
        said = 0

        def report_line(line: str) -> None:
            nonlocal said
            said += 1
            if said <= _MOST_CONSOLE_MESSAGES:
                self._say(events.DETAILED, line)
            if said == _MOST_CONSOLE_MESSAGES:
                self._say(events.DETAILED, "The rest is in the console log.")

        return run_launcher(
            order,
            image,
            env=self._environment(image),
            umask=self._umask,
            children=self._children,
            store=self._store,
            report_line=report_line,
        )

    def _environment(self, image: Image) -> dict[str, str]:
        # google-auth must not find the credentials of the user of this machine.
        own = {"CLOUDSDK_CONFIG": str(self._run_dir / "gcloud")}
        if image.root is not None:  # It has a /tmp of its own.
            own[RUN_DIR_VARIABLE] = str(self._run_dir)
        elif temp.VARIABLE not in image.env:
            own[temp.VARIABLE] = str(self._temp_dir)
        return image.environment({**own, **self._endpoints})

    @property
    def _executor_log(self) -> Path:
        return self._run_dir / "executor.log"

    def _expected_worker(self, order: LaunchOrder) -> WorkerEnvironment | None:
        reference = order.environment.get("sdkContainerImage") or order.parameters.get(
            "sdk_container_image"
        )
        try:
            return self._image_environment(reference) if reference else None
        except UnknownImage:
            return None  # If the job does name it, it fails then.

    def _start_executor(self, worker: WorkerEnvironment | None) -> Child:
        with self._executor_log.open("ab") as log:
            executor = self._children.start(
                _EXECUTOR,
                cwd=self._run_dir,
                env={**os.environ, temp.VARIABLE: str(self._temp_dir)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        _tell(executor, Preparation(run_dir=self._run_dir, umask=self._umask, worker=worker))
        return executor

    def _execute(self, job: Mapping[str, Any], executor: Child) -> None:
        self._events.state(self._job_id, events.PENDING)
        streaming = job.get("type") == "JOB_TYPE_STREAMING"
        pubsub_host = self._endpoints.get(HOST_VARIABLE)
        if streaming and pubsub_host is None:
            raise JobFailedError(f"Workflow failed. Causes: {MISSING}")
        order = ExecutionOrder(
            run_dir=self._run_dir,
            options=staging.pipeline_options(job),
            workers={
                image: self._worker_environment(image) for image in staging.worker_images(job)
            },
            num_workers=count_workers(job, cores=os.cpu_count() or 1),
            pubsub_host=pubsub_host if streaming else None,
        )
        staging.fetch_pipeline(job, self._store, order.pipeline_file)
        packages = staging.fetch_packages(job, self._store, order.packages_dir)
        self._warn_of_packages(packages)
        soon = 0
        while True:
            started = time.monotonic()
            with self._lock:
                self._executor = executor
                _tell(executor, order)
                if self._drained:
                    _tell(executor, Drain())
            try:
                return self._follow(executor, self._acknowledged)
            except _ExecutorDiedError as error:
                soon = soon + 1 if time.monotonic() - started < _SOON_SEC else 0
                if not order.streaming or soon == _MOST_SOON or self._cancelled.is_set():
                    raise
                self._say(
                    events.WARNING,
                    f"{error.problem}. Another takes its place; messages that were not "
                    "acknowledged are delivered again.",
                )
            executor = self._start_executor(next(iter(order.workers.values()), None))

    def _follow(self, executor: Child, earlier: Updates) -> None:
        try:
            for event in events.read_events(executor.stdout):
                match event:
                    case events.SubscriptionEvent(subscription):
                        self._subscriptions.add(subscription)
                    case _ if self._cancelled.is_set():
                        pass  # Of a job that is cancelled nothing more is told.
                    case events.MessageEvent(importance, text):
                        self._say(importance, text)
                    case events.MetricsEvent(updates):
                        self._events.metrics(self._job_id, add_metrics(earlier, updates))
                    case events.AcknowledgedEvent(updates):
                        self._acknowledged = add_metrics(earlier, updates)
                    case events.StateEvent(events.RUNNING) if self._running:
                        pass  # It is the state already, or the job drains.
                    case events.StateEvent(state):
                        self._running = state == events.RUNNING
                        self._events.state(self._job_id, state)
                        if state in _TERMINAL:
                            return
            status = executor.wait()
            problem = f"the executor ended with exit status {status} before the job did"
        except GarbledEventsError as error:
            executor.kill()  # One that goes on would work beside its successor.
            problem = f"the executor sent what is {error}"
        output = last_words(self._executor_log.read_text(errors="replace"))
        raise _ExecutorDiedError(
            problem,
            f"Its last output, in {self._executor_log}:\n{output or '(none)'}",
        )

    def _delete_subscriptions(self) -> None:
        # Should this process be killed instead, Pub/Sub ends with it and forgets them all.
        for subscription in self._subscriptions:
            problem = delete_subscription(self._endpoints[HOST_VARIABLE], subscription)
            if problem:
                _LOG.warning("job %s leaves %s behind: %s", self._job_id, subscription, problem)

    def _worker_environment(self, reference: str) -> WorkerEnvironment:
        try:
            return self._image_environment(reference)
        except UnknownImage as error:
            stock = find_stock_image(reference)
            if stock is None:
                raise _pull_failed(reference, error) from error
            return self._stock_environment(reference, stock)

    def _image_environment(self, reference: str) -> WorkerEnvironment:
        image = self._images.find(reference)
        return WorkerEnvironment(
            python=str(image.python),
            workdir=str(image.workdir),
            env=self._environment(image),
        )

    def _stock_environment(self, reference: str, stock: StockImage) -> WorkerEnvironment:
        here = StockImage(
            ".".join(platform.python_version_tuple()[:2]), metadata.version("apache-beam")
        )
        remedy = (
            f"The workers run Beam's own image, {reference}, which holds nothing of the template. "
            "For them to import what is in the template's image, set sdk_container_image "
            "(sdkContainerImage in the environment) to it."
        )
        if stock != here:
            raise JobFailedError(
                f"Workflow failed. Causes: the local Dataflow can stand for Beam's own image only "
                f"with Python {here.python_version} and Beam {here.beam_version}.",
                remedy,
            )
        self._say(events.WARNING, remedy)
        image = Image(Path(sys.executable), self._run_dir, {})
        env = self._environment(image)
        del env["PYTHONPATH"]
        return WorkerEnvironment(
            python=str(image.python),
            workdir=str(image.workdir),
            env=env,
            stock=True,
        )

    def _warn_of_packages(self, names: Sequence[str]) -> None:
        installed = [
            name for name in names if name.endswith(_INSTALLED_SUFFIXES) or name in _INSTALLED_NAMES
        ]
        if installed:
            self._say(
                events.WARNING,
                f"Staged packages are not installed on local workers: {', '.join(installed)}. "
                "What they bring must be in the environment of the workers' image.",
            )


def count_workers(job: Mapping[str, Any], *, cores: int) -> int:
    """Return how many workers a job gets.

    There is no autoscaling: the pool keeps its first size, ``num_workers``, or else
    ``max_num_workers``, or else 1; never more than the machine has cores.
    """
    options = staging.pipeline_options(job)
    wanted = options.get("num_workers") or options.get("max_num_workers") or 1
    return max(1, min(int(wanted), cores))


def _explain(job_id: str, error: Exception) -> Sequence[str]:
    """Return what is told of the error that ended a job."""
    if isinstance(error, LaunchFailedError):
        return [*filter(None, (error.program_text, error.service_text, error.remedy))]
    if isinstance(error, JobFailedError):
        return error.messages
    if isinstance(error, JobFilesError):
        return [f"Workflow failed. Causes: {error}."]
    _LOG.error("job %s", job_id, exc_info=error)
    return [f"Internal error of the local Dataflow: {type(error).__name__}: {error}"]


def _tell(executor: Child, record: Preparation | ExecutionOrder | Drain) -> None:
    with suppress(BrokenPipeError):  # Its death is reported where its events end.
        executor.stdin.write(record.to_line())
        executor.stdin.flush()


def _pull_failed(reference: str, error: UnknownImage) -> JobFailedError:
    return JobFailedError(
        f"Workflow failed. Causes: Unable to pull container image due to error: {reference}: "
        "not found.",
        str(error),
    )
