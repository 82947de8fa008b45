"""Running the programs that handle images: docker, buildah, gcloud, git, uv."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from launcher.errors import ImageError

_LAST_LINES = 30


class ToolError(ImageError):
    """A program failed; the message ends with its last lines.

    Attributes:
        output: what it wrote to its standard error.
    """

    def __init__(self, message: str, output: str = "") -> None:
        self.output = output.strip()
        tail = "\n".join(self.output.splitlines()[-_LAST_LINES:])
        super().__init__(f"{message}\n{tail}".rstrip())


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
        show: let its output go to the terminal, where it can be followed; returns "".

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
