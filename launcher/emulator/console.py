"""The console's process: starts when somebody opens its page and ends with the local Dataflow.

The console is a separate program, ``python -m launcher.console``, and an ordinary client of the
APIs. This module only listens for its first visitor. While there are no visitors, the console uses
no resources.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from launcher.emulator.instance import open_private
from launcher.emulator.runtime.processes import Child

_LOG = logging.getLogger(__name__)

_BACKLOG = 128
# A console that ends this soon cannot work; the next visitor may try again after a pause.
_SOON_SEC = 5.0
_PAUSE_SEC = 2.0
_KILLED = 128  # and above: by a signal


def listen(port: int) -> socket.socket:
    """Return a socket on that loopback port, or on a free one if that is taken or 0."""
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.bind(("127.0.0.1", 0))
    listener.listen(_BACKLOG)
    return listener


class ConsoleStarter:
    """Starts the console at the first connection, and again if it has ended."""

    def __init__(self, listener: socket.socket, variables: Mapping[str, str], folder: Path) -> None:
        """Start waiting for visitors; returns at once.

        Args:
            variables: environment variables that lead the console to the local services.
            folder: gets its log.
        """
        self._listener = listener
        self._variables = variables
        self._log_file = folder / "console.log"
        self._lock = threading.Lock()
        self._closed = False
        self._child: Child | None = None
        threading.Thread(target=self._run, name="console", daemon=True).start()

    def close(self) -> None:
        """End the console; block until it is gone."""
        with self._lock:
            self._closed = True
            if self._child is not None:
                self._child.kill()

    def _run(self) -> None:
        while True:
            select.select([self._listener], [], [])
            started = time.monotonic()
            with self._lock:
                if self._closed:
                    return
                child = self._child = self._start_console()
            status = child.wait()
            child.kill()  # to close whatever it leaves open
            if time.monotonic() - started < _SOON_SEC and not self._closed:
                _LOG.warning("the console ended with status %s; see %s", status, self._log_file)
                failed = status is not None and status < _KILLED
                if failed and select.select([self._listener], [], [], 0)[0]:
                    self._listener.accept()[0].close()  # no console will ever serve that visitor
                time.sleep(_PAUSE_SEC)

    def _start_console(self) -> Child:
        with open_private(self._log_file) as log:
            return Child(
                [sys.executable, "-m", "launcher.console"],
                cwd=Path.cwd(),
                env={**os.environ, **self._variables},
                stdin=self._listener.fileno(),
                stdout=log,
                stderr=log,
            )
