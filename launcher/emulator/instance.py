"""A running local Dataflow, as other processes see it: its addresses, and whether it lives.

Standard library only, so that a command that only queries answers at once.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

IDENTITY_PATH = "/emulator/identity"
PROJECTS_PATH = "/emulator/projects"
PRUNE_PATH = "/emulator/prune"
_ASK_TIMEOUT_SEC = 2.0
_CONTROL_TIMEOUT_SEC = 30.0


class EmulatorError(RuntimeError):
    """The local Dataflow cannot start, be found or be stopped; the message says what to do."""


class EmulatorOptionError(EmulatorError):
    """It cannot start with these options; the message names the wrong one."""


@dataclass(frozen=True)
class EmulatorInfo:
    """A local Dataflow: its process, its ports and its folder.

    ``console_port`` is None if it was started without the console.
    ``pubsub_port`` is None if Google's Pub/Sub emulator does not run. ``pubsub_problem`` says why
    it does not run, or else what happened the last time that it ended and was started again.
    """

    pid: int
    dataflow_port: int
    storage_port: int
    data_dir: Path
    console_port: int | None = None
    pubsub_port: int | None = None
    pubsub_problem: str | None = None

    @property
    def dataflow_endpoint(self) -> str:
        """Root of the Dataflow API, with its trailing slash. Beam requires the name localhost."""
        return f"http://localhost:{self.dataflow_port}/"

    @property
    def storage_endpoint(self) -> str:
        return f"http://localhost:{self.storage_port}"

    @property
    def console_url(self) -> str | None:
        return None if self.console_port is None else f"http://localhost:{self.console_port}/"

    @property
    def pubsub_host(self) -> str | None:
        return None if self.pubsub_port is None else f"localhost:{self.pubsub_port}"


def state_file(data_dir: Path) -> Path:
    return data_dir / "emulator.json"


def log_file(data_dir: Path) -> Path:
    return data_dir / "emulator.log"


def open_private(path: Path) -> BinaryIO:
    """Open a file for appending; only this user may read a new one."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def fingerprint_code() -> str:
    """Return a digest of the emulator's source files, as they are on disk now."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def write_state(info: EmulatorInfo, code: str) -> None:
    """Record a running emulator in its folder, atomically.

    Args:
        code: the fingerprint of the source files that it runs.
    """
    path = state_file(info.data_dir)
    draft = path.with_suffix(f".{info.pid}")
    state = {
        "pid": info.pid,
        "dataflowPort": info.dataflow_port,
        "storagePort": info.storage_port,
        "consolePort": info.console_port,
        "pubsubPort": info.pubsub_port,
        "pubsubProblem": info.pubsub_problem,
        "code": code,
    }
    draft.write_text(json.dumps(state))
    draft.replace(path)


def find_running(data_dir: Path) -> EmulatorInfo | None:
    """Return the emulator that serves this folder, if one does; blocks at most two seconds.

    Recognises the file of a killed emulator: its port must answer with its pid.

    Raises:
        EmulatorError: the file cannot be read, or the emulator runs code other than what is here
            now: it would start the processes of its jobs from files that do not match it.
    """
    folder = data_dir.resolve()
    try:
        state = json.loads(state_file(folder).read_text())
        info = EmulatorInfo(
            pid=int(state["pid"]),
            dataflow_port=int(state["dataflowPort"]),
            storage_port=int(state["storagePort"]),
            data_dir=folder,
            console_port=state.get("consolePort"),
            pubsub_port=state.get("pubsubPort"),
            pubsub_problem=state.get("pubsubProblem"),
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmulatorError(
            f"{state_file(folder)} cannot be read ({error}); delete it if no emulator is running"
        ) from error
    if not _answers(info):
        return None
    if state.get("code") != fingerprint_code():
        raise EmulatorError(
            f"the local Dataflow on {data_dir} was started by a different version of flexpack; "
            f"'flexpack emulator stop --data-dir {data_dir}', then start it again"
        )
    return info


def find_on_port(port: int) -> EmulatorInfo | None:
    """Return the emulator of this user that listens on a port, whatever folder it serves.

    Raises:
        EmulatorError: as ``find_running``.
    """
    data_dir = Path(str(_identify(port).get("dataDir", "")))
    try:
        is_own = data_dir.is_absolute() and data_dir.stat().st_uid == os.getuid()
    except OSError:
        is_own = False
    info = find_running(data_dir) if is_own else None
    return info if info is not None and info.dataflow_port == port else None


def ask_projects(
    info: EmulatorInfo, project: Mapping[str, str] | None = None
) -> list[dict[str, str]]:
    """Register a project if one is given, and return all of them.

    Raises:
        EmulatorError: the emulator refuses; the message says why.
    """
    projects: list[dict[str, str]] = ask(info, PROJECTS_PATH, project)["projects"]
    return projects


def ask(info: EmulatorInfo, path: str, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the answer of a running emulator to a POST of ``content``, or to a GET without any.

    Raises:
        EmulatorError: it refuses, and the message says why, or it does not answer.
    """
    connection = http.client.HTTPConnection(
        "localhost", info.dataflow_port, timeout=_CONTROL_TIMEOUT_SEC
    )
    try:
        method, body = ("POST", json.dumps(content)) if content else ("GET", None)
        connection.request(method, path, body)
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise EmulatorError(f"the local Dataflow of {info.data_dir}: {error}") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise EmulatorOptionError(answer["error"]["message"])
    return answer


def _answers(info: EmulatorInfo) -> bool:
    try:
        os.kill(info.pid, 0)
    except OSError:
        return False
    return _identify(info.dataflow_port).get("pid") == info.pid


def _identify(port: int) -> dict[str, Any]:
    """Return an emulator's own description, from its port; None if there is none."""
    connection = http.client.HTTPConnection("localhost", port, timeout=_ASK_TIMEOUT_SEC)
    try:
        connection.request("GET", IDENTITY_PATH)
        answer = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else {}
