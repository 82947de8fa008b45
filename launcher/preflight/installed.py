"""The requirement and lock files that a Dockerfile installs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from launcher.preflight.dockerfile_reader import Dockerfile
from launcher.preflight.stages import (
    BuildContext,
    Found,
    Run,
    Stage,
    find_origin,
    find_sources,
    resolve,
)

_REQUIREMENT = re.compile(r"(?:\s-r\s*|\s--requirements?[ =]|\bpip sync\s+)[\"']?([^\s\"';&|]+)")
_LOOKS_LIKE_ONE = re.compile(r"require|lock|constraint|deps|dependenc", re.IGNORECASE)
_OF_THE_SYSTEM = re.compile(r"system|apt", re.IGNORECASE)
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml")


def find_locks(dockerfile: Dockerfile) -> list[Path]:
    """Return the project's files from which the image's packages are installed."""
    found = dict.fromkeys(_find_in(dockerfile.target, dockerfile.context))
    is_ignored = dockerfile.context.ignores
    return [path for path in found if path.is_file() and not is_ignored(path)]


def _find_in(stage: Stage, context: BuildContext) -> Iterator[Path]:
    commands = "\n".join(run.command for run in stage.runs)
    for run in stage.runs:
        yield from _find_required(run, stage, context)
    for copy in stage.copies:
        if isinstance(copy.origin, Stage):
            yield from _find_in(copy.origin, context)
            continue
        for source in find_sources(copy, context):
            if _is_lock(source.name, commands):
                yield source
            elif source.is_dir():
                yield from (source / name for name in ("requirements.txt", *_LOCKS))


def _is_lock(name: str, commands: str) -> bool:
    """Return whether a file is a lock: by its name, or because a command installs from it."""
    if not name.endswith(".txt"):
        return name in _LOCKS
    is_mentioned = name in commands and not _OF_THE_SYSTEM.search(name)
    return is_mentioned or bool(_LOOKS_LIKE_ONE.search(name))


def _find_required(run: Run, stage: Stage, context: BuildContext) -> Iterator[Path]:
    """Yield the project's files that ``pip install -r`` names, found through COPY and mounts."""
    seen = replace(stage, copies=(*stage.copies, *run.mounts))
    for name in _REQUIREMENT.findall(run.command):
        if "$" not in name:
            origin = find_origin(seen, resolve(name, run.workdir), context)
            if isinstance(origin, Found) and origin.file:
                yield origin.file
