"""Turns the network off and times imports in every Python process of a rehearsal.

Python runs a module of this name at its start, before the program. It appends events, one JSON
object per line, to the file that FLEXPACK_REHEARSAL_REPORT names. It sees the connections of Python
itself; it does not stop programs in other languages that Python starts.
"""

from __future__ import annotations

import atexit
import builtins
import errno
import ipaddress
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

_REPORT = os.environ.get("FLEXPACK_REHEARSAL_REPORT")
_LEAST_SEC = 0.2


def _note(**found: Any) -> None:
    if _REPORT:
        with Path(_REPORT).open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(found)}\n")


def _is_here(host: object) -> bool:
    """Return whether an address or name belongs to this machine."""
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if host in (None, "", "localhost", "metadata.google.internal", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(str(host))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
        if not isinstance(address, tuple):  # a Unix socket
            return
        host, port = address[0], address[1]
    elif event == "socket.getaddrinfo":
        host, port = arguments[0], arguments[1]
    else:
        return
    if not _is_here(host):
        _note(network=f"{host}:{port}")
        raise OSError(errno.ENETUNREACH, f"the network is off in a rehearsal: {host}:{port}")


def _time_imports() -> None:
    started = time.monotonic()
    import_module = builtins.__import__
    seconds: dict[str, float] = {}

    def timed(name: str, *arguments: Any, **keywords: Any) -> Any:
        package = name.partition(".")[0]
        if package in sys.modules:
            return import_module(name, *arguments, **keywords)
        begun = time.monotonic()
        try:
            return import_module(name, *arguments, **keywords)
        finally:
            seconds[package] = max(time.monotonic() - begun, seconds.get(package, 0.0))

    builtins.__import__ = timed

    def report() -> None:
        slow = {name: round(spent, 2) for name, spent in seconds.items() if spent >= _LEAST_SEC}
        _note(imports=slow, seconds=round(time.monotonic() - started, 2))

    atexit.register(report)


sys.addaudithook(_refuse)
if any(argument.startswith("--template_location=") for argument in sys.orig_argv):
    _time_imports()
