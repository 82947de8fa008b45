"""SDK workers: one process each, of the interpreter that stands for the job's container image.

Plays the role of a Dataflow worker VM and of Beam's ``boot`` program in the image: starts the SDK
harness with the addresses of the Fn API, notices when it dies, and replaces it.
https://beam.apache.org/documentation/runtime/environments/
"""

from __future__ import annotations

import json
import re
import signal
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apache_beam.portability.api import beam_fn_api_pb2, beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import worker_handlers

from launcher.emulator.executor.beam_internals import (
    HOST,
    abort_instructions,
    end_instructions,
    find_pending_instructions,
)
from launcher.emulator.executor.worker_logs import WorkerLogs
from launcher.emulator.executor.worker_processes import WorkerProcess, WorkerProcesses
from launcher.emulator.runtime.execution import Execution

BUNDLE_ID_PREFIX = "bundle-"
"""The prefix of ids of instructions that process bundles; Beam numbers all others itself."""

_TEARDOWN_TIMEOUT_SEC = 3.0
_LAST_LINES = 20
_MOST_LINES_OF_STACKS = 1000
_STACKS = re.compile(r"(Timeout \(\d+:[\d:.]+\)!|Fatal Python error: .*)$", re.MULTILINE)
"""The beginning of the thread stacks that faulthandler writes."""


class WorkerDiedError(Exception):
    """A worker process ended before its work did.

    Args:
        how: which process, and how it ended; one line.
        output: the last lines that it printed, or all lines if they are the stacks of its threads.
    """

    def __init__(self, how: str, output: str = "") -> None:
        super().__init__(f"{how}\n{output}".rstrip())
        self.how = how
        self.output = output

    @property
    def cause(self) -> str:
        """The cause of its death, in one line."""
        stacks = _STACKS.match(self.output)
        if stacks:
            return f"{self.how}: {stacks[0]}"
        return [self.how, *self.output.splitlines()][-1]


class WorkerStoppedError(Exception):
    """The job and its workers have ended."""


@dataclass(frozen=True)
class WorkerSetup:
    """The state that all workers of a job share."""

    execution: Execution
    processes: WorkerProcesses
    logs: WorkerLogs

    def variables(self, control_url: str) -> dict[str, str]:
        """Return the variables by which the SDK harness finds its servers, as ``boot`` sets them.

        There are no RUNNER_CAPABILITIES. FnApiRunner has only one, for reading a side input's map
        at once. With it, a map to which several bundles add is lost; read key by key, the map is
        correct.
        """
        return {
            "CONTROL_API_SERVICE_DESCRIPTOR": f'url: "{control_url}"',
            "LOGGING_API_SERVICE_DESCRIPTOR": f'url: "{self.logs.address}"',
            "SEMI_PERSISTENT_DIRECTORY": str(self.execution.run_dir),
            "PIPELINE_OPTIONS": json.dumps({"options": restore_integers(self.execution.options)}),
        }


class Worker(worker_handlers.GrpcWorkerHandler):  # type: ignore[misc]
    """The place of one SDK worker; its process can be replaced."""

    worker_id: str
    control_conn: worker_handlers.ControlConnection
    data_conn: Any

    def __init__(
        self,
        payload: beam_runner_api_pb2.DockerPayload,
        state: worker_handlers.StateServicer,
        provision_info: Any,
        grpc_server: worker_handlers.GrpcServer,
        *,
        setup: WorkerSetup,
    ) -> None:
        super().__init__(state, provision_info, grpc_server)
        self._setup = setup
        self._server = grpc_server
        self._command = setup.execution.workers[payload.container_image]
        self._lock = threading.Lock()
        self._closed = False
        self._death: WorkerDiedError | WorkerStoppedError | None = None

    def host_from_worker(self) -> str:
        return HOST

    def start_worker(self) -> None:
        with self._lock:
            if self._closed:
                raise WorkerStoppedError
            self._process = self._setup.processes.start(self._command)
            # Connections are identified by the process's id.
            self.worker_id = self._process.worker_id
            server = self._server
            self.control_conn = server.control_handler.get_conn_by_worker_id(self.worker_id)
            self.data_conn = server.data_plane_handler.get_conn_by_worker_id(self.worker_id)
            self._death = None
            self._process.begin(self._setup.variables(self.control_address))
            watch = threading.Thread(
                target=self._watch, args=(self._process, self.control_conn), daemon=True
            )
            watch.start()

    def push(self, request: beam_fn_api_pb2.InstructionRequest) -> worker_handlers.ControlFuture:
        """Send an instruction.

        Returns:
            A future; when the worker dies it raises ``WorkerDiedError``.

        Raises:
            WorkerDiedError: it is dead already.
            WorkerStoppedError: the job is over.
        """
        with self._lock:
            if self._death is not None:
                raise self._death
            return self.control_conn.push(request)

    def replace(self) -> None:
        """Replace a process that died or lost its connections.

        Raises:
            WorkerStoppedError: the job is over.
        """
        self._process.process.kill()
        self.start_worker()

    def close(self) -> None:
        """Let the harness tear down its DoFns, unless it has work or hangs; end the process."""
        with self._lock:
            self._closed = True
            # Only bundles count as work: requests for their progress may wait in vain.
            pending = find_pending_instructions(self.control_conn)
            busy = any(instruction.startswith(BUNDLE_ID_PREFIX) for instruction in pending)
        process = self._process.process
        if not busy and process.poll() is None:
            end_instructions(self.control_conn)
            self._setup.logs.wait_for_end(self.worker_id, _TEARDOWN_TIMEOUT_SEC)
        # Its interpreter would need another half second to clean up.
        process.kill()
        process.wait()

    def _watch(self, process: WorkerProcess, control: worker_handlers.ControlConnection) -> None:
        how = _describe_death(process.wait())
        death: WorkerDiedError | WorkerStoppedError
        with self._lock:
            if self._closed:
                death = WorkerStoppedError()
            else:
                death = WorkerDiedError(
                    f"Worker {process.worker_id} {how}", _last_lines(process.log)
                )
            if self._process is process:
                self._death = death
        abort_instructions(control, death)


def restore_integers(value: Any) -> Any:
    """Return JSON with whole floats as integers.

    Pipeline options travel as a protobuf Struct, which has no integers; argparse refuses 1.0.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: restore_integers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [restore_integers(item) for item in value]
    return value


def _describe_death(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed by signal 9 (SIGKILL), as the kernel does when memory runs out"
    if status < 0:
        return f"was killed by signal {-status} ({signal.Signals(-status).name})"
    return f"ended with exit status {status}"


def _last_lines(log: Path) -> str:
    text = log.read_text(errors="replace").rstrip()
    stacks = deque(_STACKS.finditer(text), maxlen=1)
    if stacks:
        return "\n".join(text[stacks[0].start() :].splitlines()[:_MOST_LINES_OF_STACKS])
    return "\n".join(text.splitlines()[-_LAST_LINES:])
