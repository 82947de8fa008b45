"""Running the programs that handle images: docker, buildah, gcloud, git, uv."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from launcher.errors import ImageError

Report = Callable[[str], None]

_LAST_LINES = 30
_STEP_WIDTH = 88


class ToolError(ImageError):
    """A program failed; the message ends with its last lines.

    Attributes:
        output: what it wrote to its standard error.
    """

    def __init__(self, message: str, output: str = "") -> None:
        self.output = output.strip()
        tail = "\n".join(self.output.splitlines()[-_LAST_LINES:])
        super().__init__(f"{message}\n{tail}".rstrip())


def shorten_step(step: str) -> str:
    """Return a step of a build as one short line, without its mounts."""
    words = [word for word in step.split() if not word.startswith("--mount=")]
    text = " ".join(words)
    return text if len(text) <= _STEP_WIDTH else f"{text[: _STEP_WIDTH - 3]}..."


def follow_tool(
    command: Sequence[str],
    *,
    timeout_sec: float,
    summarize: Callable[[str], str | None],
    report: Report,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Run a program and report what ``summarize`` makes of its lines; block until it has ended.

    Args:
        summarize: returns what to report about a line, or None.
        report: gets the result with the seconds since the start.

    Raises:
        ToolError: it is not installed, failed, or took longer than ``timeout_sec``.
    """
    name = " ".join(command[:2])
    start = time.monotonic()
    last: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        process = subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise ToolError(f"'{command[0]}' is not installed, or not on PATH") from error
    is_late = threading.Event()

    def stop() -> None:
        is_late.set()
        process.kill()

    timer = threading.Timer(timeout_sec, stop)
    timer.start()
    try:
        for line in process.stdout or ():
            last.append(line)
            if shown := summarize(line.rstrip("\n")):
                report(f"{time.monotonic() - start:5.0f} s  {shown}")
        status = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        timer.cancel()
    if is_late.is_set():
        raise ToolError(f"'{name}' was stopped after {timeout_sec:g} s", "".join(last))
    if status:
        raise ToolError(f"'{name}' failed with exit status {status}", "".join(last))


def run_tool(
    command: Sequence[str],
    *,
    timeout_sec: float,
    cwd: Path | None = None,
    stdin: str | None = None,
    environ: Mapping[str, str] | None = None,
    show: bool = False,
) -> str:
    """Run a program and return its standard output; block until it has ended.

    Args:
        show: let its output go to the terminal, where the user can follow it; returns "".

    Raises:
        ToolError: it is not installed, failed, or took longer than ``timeout_sec``.
    """
    name = " ".join(command[:2])
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environ,
            input="" if stdin is None else stdin,
            stdout=None if show else subprocess.PIPE,
            stderr=None if show else subprocess.PIPE,
            text=True,
            timeout=timeout_sec,
            check=False,
        )
    except FileNotFoundError as error:
        raise ToolError(f"'{command[0]}' is not installed, or not on PATH") from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"'{name}' was stopped after {timeout_sec:g} s") from error
    if done.returncode:
        raise ToolError(
            f"'{name}' failed with exit status {done.returncode}", done.stderr or done.stdout or ""
        )
    return done.stdout or ""
