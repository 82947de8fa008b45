"""Find, start and restart the Pub/Sub emulator that serves the local Dataflow.

It is part of the Google Cloud SDK, a Java program that keeps everything in memory. If it is not
installed there is no Pub/Sub, and everything else works.
https://cloud.google.com/pubsub/docs/emulator
"""

from __future__ import annotations

import http.client
import logging
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from launcher.emulator.runtime.processes import Child
from launcher.emulator.runtime.subscriptions import REMEDY

_LOG = logging.getLogger(__name__)

NOT_FOUND = f"Google's emulator was not found; {REMEDY}"

_PROGRAM = Path("platform", "pubsub-emulator", "bin", "cloud-pubsub-emulator")
_ASK_TIMEOUT_SEC = 5.0
# Ten times the usual time, and well within the limit of a start.
_START_TIMEOUT_SEC = 15.0
_SLOW_SEC = 3.0
_MOST_STARTS = 5
_PAUSE_SEC = 0.5
_PORT_TIMEOUT_SEC = 5.0
_OUT_OF_MEMORY_STATUS = 3  # of a Java that ends by -XX:+ExitOnOutOfMemoryError
DEFAULT_HEAP_MB = 2048
"""Memory for its messages; 200 messages a second use 2.4 GiB an hour, as measured."""
_POLL_SEC = 0.05
_LOOK_SEC = 2.0
_PORT_TAKEN = b"java.net.BindException"
# If it ends sooner than that, each further start waits longer.
_SOON_SEC = 10.0
_LONGEST_PAUSE_SEC = 10.0


class PortTakenError(RuntimeError):
    """Another program keeps listening on the port."""


def find_program(
    environ: Mapping[str, str] = os.environ, *, timeout_sec: float = _ASK_TIMEOUT_SEC
) -> Path | None:
    """Return the program that starts the Pub/Sub emulator, or None if it cannot run.

    It is in the root of the Google Cloud SDK, which is above the gcloud on the path; other
    installations of gcloud report their root, which takes a second or two.
    """
    path = environ.get("PATH", os.defpath)
    gcloud = shutil.which("gcloud", path=path)
    has_java = bool(environ.get("JAVA_HOME")) or shutil.which("java", path=path) is not None
    if gcloud is None or not has_java:
        return None
    beside = Path(gcloud).resolve().parents[1] / _PROGRAM
    if beside.exists():
        return beside
    info = Child(
        [gcloud, "info", "--format=value(installation.sdk_root)"],
        cwd=Path.cwd(),
        env=environ,
        stdout=subprocess.PIPE,
    )
    try:
        status = info.wait(timeout_sec)
        if status is None:
            _LOG.warning("'gcloud info' took more than %g s", timeout_sec)
        if status != 0:
            return None
        found = Path(info.stdout.read().decode().strip()) / _PROGRAM
    finally:
        info.kill()
    return found if found.exists() else None


def start(*, port: int, folder: Path, heap_mb: int = DEFAULT_HEAP_MB) -> PubSubEmulator | None:
    """Start the Pub/Sub emulator, if it is installed; does not wait until it answers.

    Blocks for a few seconds if the port is taken, because an emulator that has just stopped may
    still hold it.

    Args:
        port: the port to listen on; 0 picks a free one.
        folder: gets its log.
        heap_mb: its memory. When it is used up, the emulator ends, and is started again.

    Raises:
        PortTakenError: the port stays taken.
    """
    program = find_program()
    if program is None:
        return None
    if port:
        wait_for_port(port)
    return PubSubEmulator(program, port=port, folder=folder, heap_mb=heap_mb)


class PubSubEmulator:
    """A running Pub/Sub emulator. Once it has answered, it is started again, empty, if it dies.

    Attributes:
        on_restart: called from its own thread after a restart, with a message.
    """

    def __init__(
        self, program: Path, *, port: int, folder: Path, heap_mb: int = DEFAULT_HEAP_MB
    ) -> None:
        self._picks_port = port == 0
        self.port = port or _pick_port()
        self.on_restart: list[Callable[[str], None]] = []
        self._heap_mb = heap_mb
        self._program = program
        self._log = folder / "pubsub.log"
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._child = self._start()

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    def answers(self) -> bool:
        """Report whether it is ready."""
        connection = http.client.HTTPConnection("localhost", self.port, timeout=1)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait(
        self,
        timeout_sec: float = _START_TIMEOUT_SEC,
        *,
        slow_sec: float = _SLOW_SEC,
        on_slow: Callable[[str], None] = _LOG.info,
    ) -> str | None:
        """Block until it is ready; from then on it is started again whenever it dies.

        If it ends before that, it is tried again, on another port if it may pick one, because
        another program may have taken the free port first.

        Args:
            on_slow: called once, with a message, if it has not answered after ``slow_sec``.

        Returns:
            The reason why it does not run and is closed, or None.
        """
        began = time.monotonic()
        deadline = began + timeout_sec
        starts = 1
        is_slow = False
        while not self.answers():
            if not is_slow and time.monotonic() > began + slow_sec:
                is_slow = True
                on_slow(f"Waiting for Google's Pub/Sub emulator, {timeout_sec:g} s at most.")
            status = self._wait(_POLL_SEC)
            if status is None and time.monotonic() > deadline:
                return self._give_up(f"did not answer within {timeout_sec:g} s")
            if status is not None and starts == _MOST_STARTS:
                return self._give_up(f"ended with status {status}")
            if status is not None:
                starts += 1
                self._child.kill()  # to close whatever it leaves open
                self._closed.wait(_PAUSE_SEC)
                if self._picks_port:
                    self.port = _pick_port()
                self._child = self._start()
        threading.Thread(target=self._watch, name="pubsub", daemon=True).start()
        return None

    def close(self) -> None:
        """Kill it; block until it is gone."""
        self._closed.set()
        with self._lock:
            self._child.kill()

    def _start(self) -> Child:
        # Without memory it would keep running and not answer.
        options = (f"-Xmx{self._heap_mb}m", "-XX:+ExitOnOutOfMemoryError")
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            return Child(
                [str(self._program), "--host=localhost", f"--port={self.port}"],
                cwd=self._log.parent,
                env={**os.environ, "CLOUD_PUBSUB_EMULATOR_OPTS": " ".join(options)},
                stdout=log,
                stderr=log,
            )

    def _wait(self, timeout_sec: float) -> int | None:
        """Return its exit status; None if it lives. If it did not get its port, it is ended."""
        status = self._child.wait(timeout_sec)
        if status is None and _PORT_TAKEN in self._read_log()[self._log_start :]:
            self._child.kill()  # Java keeps running without the port, and does not answer.
            return self._child.wait()
        return status

    def _read_log(self) -> bytes:
        try:
            return self._log.read_bytes()
        except FileNotFoundError:  # its folder was moved or deleted
            return b""

    def _watch(self) -> None:
        pause = _POLL_SEC
        while True:
            started = time.monotonic()
            while (status := self._wait(_LOOK_SEC)) is None:
                continue
            if self._closed.is_set():
                return
            soon = time.monotonic() - started < _SOON_SEC
            pause = min(2 * pause, _LONGEST_PAUSE_SEC) if soon else _POLL_SEC
            _LOG.warning("the Pub/Sub emulator ended with status %s; it is restarted", status)
            full = status == _OUT_OF_MEMORY_STATUS
            self._closed.wait(pause)
            with self._lock:
                if self._closed.is_set():
                    return
                self._child.kill()  # to close whatever it leaves open
                self._child = self._start()
            text = self._explain(full)
            for listener in self.on_restart:
                listener(text)

    def _explain(self, full: bool) -> str:
        cause = (
            f"Its memory of {self._heap_mb} MB was full: it keeps acknowledged messages until "
            "their subscription is deleted. 'flexpack emulator start --pubsub-heap-mb' gives it "
            "more."
            if full
            else f"Its log is {self._log}."
        )
        return (
            "Google's Pub/Sub emulator ended and was started again, empty: topics, subscriptions "
            f"and messages are gone. {cause}"
        )

    def _give_up(self, problem: str) -> str:
        self.close()
        lines = self._read_log().decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "(nothing)")
        return f"Google's emulator {problem}; its log, {self._log}, ends: {last}"


def _pick_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


def wait_for_port(port: int, *, timeout_sec: float = _PORT_TIMEOUT_SEC) -> None:
    """Block until a port is free.

    Raises:
        PortTakenError: it is not, within ``timeout_sec``.
    """
    deadline = time.monotonic() + timeout_sec
    while True:
        with socket.socket() as probe:
            # As in Java, a predecessor's closed connections do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if time.monotonic() > deadline:
                    raise PortTakenError(port) from error
            else:
                return
        time.sleep(_POLL_SEC)
