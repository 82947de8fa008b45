"""Python environments that a Dockerfile makes, and whether Beam's boot program sees them.

Boot makes its own virtual environment from the ``python`` that is first in PATH, with that
interpreter's packages. It does not see the packages of another virtual environment; it sees
those of a conda environment if PATH begins with it.
https://cloud.google.com/dataflow/docs/guides/build-container-image#python-entry-point
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from launcher.preflight.stages import Run, Stage, resolve

_COMMANDS = re.compile(r"&&|\|\||;|\n|\|")
_VENV = re.compile(r"(?:\bpython[\d.]*\s+-m\s+(?:venv|virtualenv)|\bvirtualenv|\buv\s+venv)\b(.*)")
_CONDA = re.compile(r"\b(?:conda|mamba|micromamba)\s+(?:create|env\s+create)\b(.*)")
_PROJECT = re.compile(r"\b(?P<tool>uv\s+sync|poetry\s+install|(?:pdm|pipenv)\s+(?:install|sync))\b")
_POETRY_OFF = re.compile(r"virtualenvs\.create\s+false")
_FALSE = ("0", "false", "no", "")


@dataclass(frozen=True)
class Environment:
    """An environment that a command makes; ``path`` is its folder, or the name of a conda one."""

    path: str
    command: str
    is_conda: bool = False
    is_filled: bool = False  # by the command itself


def find_hidden_environment(stage: Stage) -> Environment | None:
    """Return an environment with packages that Beam's boot program does not see."""
    for environment in _find_environments(stage):
        if environment.is_conda:
            if not _is_on_path(stage, environment):
                return environment
        elif environment.is_filled or _is_used(stage, environment):
            return environment
    return None


def _find_environments(stage: Stage) -> Iterator[Environment]:
    commands = "\n".join(run.command for run in stage.runs)
    for run in stage.runs:
        yield from _find_made(run, has_no_poetry=bool(_POETRY_OFF.search(commands)))
    for copy in stage.copies:
        if not isinstance(copy.origin, Stage):
            continue
        for made in _find_environments(copy.origin):
            for source in copy.sources:
                folder = resolve(source, "/")
                # A conda environment is packed before it is moved, and is then an ordinary
                # interpreter.
                if not made.is_conda and (
                    made.path == folder or made.path.startswith(f"{folder.rstrip('/')}/")
                ):
                    path = resolve(made.path[len(folder) :].lstrip("/"), copy.target)
                    yield Environment(path, made.command, is_filled=True)


def _find_made(run: Run, *, has_no_poetry: bool) -> Iterator[Environment]:
    for part in _COMMANDS.split(run.command):
        command = " ".join(part.split())
        if match := _VENV.search(command):
            words = [word for word in _split(match[1]) if not word.startswith("-")]
            path = _expand(run, words[-1] if words else ".venv")
            yield Environment(resolve(path, run.workdir), command)
        elif match := _CONDA.search(command):
            named = re.search(r"(?:-n|--name|-p|--prefix)[ =](\S+)", match[1])
            yield Environment(named[1] if named else "", command, is_conda=True, is_filled=True)
        elif (match := _PROJECT.search(command)) and not _is_global(run, match["tool"], command):
            if has_no_poetry and match["tool"].startswith("poetry"):
                continue
            path = run.env.get("UV_PROJECT_ENVIRONMENT") or ".venv"
            yield Environment(resolve(path, run.workdir), command, is_filled=True)


def _is_global(run: Run, tool: str, command: str) -> bool:
    """Return whether a project's tool installs into the global interpreter."""
    if tool.startswith("uv"):
        # An interpreter's prefix does not contain another environment.
        folder = run.env.get("UV_PROJECT_ENVIRONMENT", "")
        return folder.rstrip("/") in ("/usr/local", "/usr", "/opt/conda")
    if tool.startswith("poetry"):
        is_off = run.env.get("POETRY_VIRTUALENVS_CREATE", "true").lower() in _FALSE
        return is_off or "POETRY_VIRTUALENVS_CREATE=false" in command
    return "--system" in command or run.env.get("PIPENV_SYSTEM", "0").lower() not in _FALSE


def _is_used(stage: Stage, environment: Environment) -> bool:
    """Return whether packages go into a virtual environment that is not a tool's own."""
    programs = f"{environment.path}/bin"
    in_path = programs in stage.env.get("PATH", "").split(":")
    if in_path or stage.env.get("VIRTUAL_ENV") == environment.path:
        return True
    commands = [_expand(run, run.command) for run in stage.runs]
    return any(
        f"{programs}/activate" in command
        or re.search(rf"{re.escape(programs)}/(python|pip)[\d.]*\b.*\binstall\b", command)
        or (
            environment.path.endswith("/.venv") and re.search(r"\buv pip (install|sync)\b", command)
        )
        for command in commands
        if "--system" not in command
    ) and not _only_holds_tools(commands, programs)


def _only_holds_tools(commands: list[str], programs: str) -> bool:
    """Return whether Beam is installed anywhere except in an environment that is not in PATH."""
    outside = [command for command in commands if programs not in command]
    return any(re.search(r"pip[\d.]* install\b.*(-r\b|apache[-_]beam)", each) for each in outside)


def _is_on_path(stage: Stage, environment: Environment) -> bool:
    folders = stage.env.get("PATH", "").split(":")
    name = environment.path.rstrip("/").rpartition("/")[2]
    base = environment.path in ("base", "")
    return base or any(
        folder.rstrip("/").endswith((f"/envs/{name}/bin", f"{environment.path}/bin"))
        for folder in folders
    )


def _expand(run: Run, text: str) -> str:
    for name, value in run.env.items():
        for written in (f"${{{name}}}", f"${name}"):
            text = text.replace(written, value)
    return text


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
