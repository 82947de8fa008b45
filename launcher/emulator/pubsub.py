"""Google's Pub/Sub emulator beside the local Dataflow: found, started, and started again.

It is part of the Google Cloud SDK, a Java program that keeps everything in memory. Where it is not
installed there is no Pub/Sub, and everything else works.
https://cloud.google.com/pubsub/docs/emulator
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from launcher.emulator.processes import Child

_LOG = logging.getLogger(__name__)

HOST_VARIABLE = "PUBSUB_EMULATOR_HOST"
"""The variable by which the Google clients find it."""

MISSING = (
    "this is a streaming job, and the local Dataflow runs without Pub/Sub: Google's Pub/Sub "
    "emulator was not found when it started. Install it, 'gcloud components install "
    "pubsub-emulator' or 'apt-get install google-cloud-cli-pubsub-emulator', with Java; then "
    "'flexpack emulator stop' and start it again."
)

_PROGRAM = Path("platform", "pubsub-emulator", "bin", "cloud-pubsub-emulator")
_START_TIMEOUT_SEC = 30.0
_CALL_TIMEOUT_SEC = 5.0
_POLL_SEC = 0.05


def find_program(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the program that starts the Pub/Sub emulator, or None where it cannot run.

    It lies in the root of the Google Cloud SDK, which is above the gcloud on the path; a gcloud
    that is installed otherwise is asked for its root. Blocks for a second or two then.
    """
    path = environ.get("PATH", os.defpath)
    gcloud = shutil.which("gcloud", path=path)
    if gcloud is None or shutil.which("java", path=path) is None:
        return None
    beside = Path(gcloud).resolve().parents[1] / _PROGRAM
    if beside.exists():
        return beside
    asked = subprocess.run(
        [gcloud, "info", "--format=value(installation.sdk_root)"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=_START_TIMEOUT_SEC,
        check=False,
    )
    found = Path(asked.stdout.strip()) / _PROGRAM
    return found if asked.returncode == 0 and found.exists() else None


def start(*, port: int, folder: Path) -> PubSubEmulator | None:
    """Start the Pub/Sub emulator, if it is installed; does not wait until it answers.

    Args:
        port: where it listens if that is free, or else anywhere; clients are told where.
        folder: gets its log.
    """
    program = find_program()
    if program is None:
        return None
    return PubSubEmulator(program, port=_find_port(port), folder=folder)


def delete_subscription(host: str, subscription: str) -> str | None:
    """Delete a subscription, which need not exist.

    Returns:
        Why it could not be deleted, or None.
    """
    connection = http.client.HTTPConnection(host, timeout=_CALL_TIMEOUT_SEC)
    try:
        connection.request("DELETE", f"/v1/{subscription}")
        answer = connection.getresponse()
        if answer.status in (http.HTTPStatus.OK, http.HTTPStatus.NOT_FOUND):
            return None
        return f"status {answer.status}: {answer.read().decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()


class PubSubEmulator:
    """A running Pub/Sub emulator. One that dies is started again, empty, on the same port."""

    def __init__(self, program: Path, *, port: int, folder: Path) -> None:
        self.port = port
        self._program = program
        self._folder = folder
        self._lock = threading.Lock()
        self._closed = False
        self._child = self._start()
        threading.Thread(target=self._watch, name="pubsub", daemon=True).start()

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    def answers(self) -> bool:
        """Tell whether it is ready."""
        connection = http.client.HTTPConnection("localhost", self.port, timeout=1)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait(self, timeout_sec: float = _START_TIMEOUT_SEC) -> bool:
        """Block until it is ready, or return False when the time is over."""
        deadline = time.monotonic() + timeout_sec
        while not self.answers():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SEC)
        return True

    def close(self) -> None:
        """Kill it; block until it is gone."""
        with self._lock:
            self._closed = True
        self._child.kill()

    def _start(self) -> Child:
        with (self._folder / "pubsub.log").open("ab") as log:
            return Child(
                [str(self._program), "--host=localhost", f"--port={self.port}"],
                cwd=self._folder,
                env=dict(os.environ),
                stdout=log,
                stderr=log,
            )

    def _watch(self) -> None:
        while True:
            status = self._child.wait()
            with self._lock:
                if self._closed:
                    return
                _LOG.warning("the Pub/Sub emulator ended with status %s; it is restarted", status)
                self._child.kill()  # to close what it leaves open
                time.sleep(_POLL_SEC)  # not too often, should it never live long
                self._child = self._start()


def _find_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found: int = probe.getsockname()[1]
            return found
    raise AssertionError("some port is free")
