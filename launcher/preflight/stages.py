"""The stages of a Dockerfile, and the origin of each file in a stage."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from launcher.preflight.base_images import read_base_image
from launcher.preflight.ignore_file import IgnoreFile

_DEEPEST = 20  # stages; a real one has three or four


@dataclass(frozen=True)
class Command:
    """An ENTRYPOINT: its words, and whether a shell starts it, which drops all arguments."""

    words: tuple[str, ...]
    is_shell: bool = False


@dataclass(frozen=True)
class Copy:
    """A COPY, an ADD or a bind mount.

    Attributes:
        target: absolute; a slash at its end marks a folder.
        origin: the stage or the image that it copies from; None for the project.
    """

    sources: tuple[str, ...]
    target: str
    origin: Stage | str | None = None


@dataclass(frozen=True)
class Run:
    """A RUN: its command, folder, variables and mounts."""

    command: str
    workdir: str = "/"
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Copy, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage, with everything that it inherits from its parent stages.

    Attributes:
        image: the image that it or its first parent is built from.
        platform: what its first parent asks for.
        env: its variables, without its build arguments.
        entrypoint: None if it is the image's.
    """

    image: str
    platform: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    entrypoint: Command | None = None
    copies: tuple[Copy, ...] = ()
    runs: tuple[Run, ...] = ()

    def list_images(self) -> list[str]:
        """Return every image that a build of the stage pulls, its own first."""
        images = [self.image]
        for copy in self.copies:
            if isinstance(copy.origin, Stage):
                images += copy.origin.list_images()
            elif copy.origin:
                images.append(copy.origin)
        return list(dict.fromkeys(images))


@dataclass(frozen=True)
class BuildContext:
    """The folder that an image is built from, and the files that the build ignores."""

    folder: Path
    ignored: IgnoreFile = field(default_factory=IgnoreFile)

    def ignores(self, path: Path) -> bool:
        """Return whether the build ignores a file or folder."""
        return path.is_relative_to(self.folder) and self.ignored.ignores(
            path.relative_to(self.folder)
        )


@dataclass(frozen=True)
class Found:
    """A file of an image: a file of the project, or one of another image."""

    file: Path | None = None
    image: str | None = None


@dataclass(frozen=True)
class Lost:
    """A file that an instruction copies from a place where it is missing or ignored."""

    file: Path
    is_ignored: bool = False


def find_origin(stage: Stage, path: str, context: BuildContext) -> Found | Lost | None:
    """Return the origin of a file in a stage; None if no COPY brings it.

    Public images hold Beam's programs, as their names say, and no files of a project.

    Args:
        path: the file's path in the image.
        context: the project's folder, from which the image is built.
    """
    path = posixpath.normpath(path)
    found = [
        origin
        for origin in _find_origins(stage, path, context, _DEEPEST)
        if isinstance(origin, Lost)
        or origin.image is None
        or read_base_image(origin.image).holds(path) is not False
    ]
    return min(found, key=_rank, default=None)


def _rank(origin: Found | Lost) -> int:
    """Return how certain an origin is: a file or a known image, a possible one, a missing one."""
    if isinstance(origin, Lost):
        return 3
    if origin.image is not None:
        return 0 if read_base_image(origin.image).is_known else 2
    return 0 if origin.file else 1


def find_sources(copy: Copy, context: BuildContext) -> Iterator[Path]:
    """Yield the files and folders of the project that a COPY brings."""
    for source in copy.sources:
        name = source.lstrip("/")
        if copy.origin is not None or "://" in source or "$" in source:
            continue
        try:
            folder = context.folder
            yield from sorted(folder.glob(name)) if set(name) & set("*?[") else [folder / name]
        except (ValueError, OSError):  # a pattern that pathlib cannot read
            continue


def _find_origins(
    stage: Stage, path: str, context: BuildContext, depth: int
) -> Iterator[Found | Lost]:
    for copy in reversed(stage.copies):
        if copy.origin is None:
            yield from _find_in_project(copy, path, context)
        else:
            for source in copy.sources:
                if set(source) & set("*?[") and _is_below(path, copy.target):
                    yield Found()
                for inner in _inside(source, copy.target, path, is_file=_looks_like_file(source)):
                    if isinstance(copy.origin, str):
                        yield Found(image=copy.origin)
                    elif depth:
                        yield from _find_origins(copy.origin, inner, context, depth - 1)
                        made = _mentions(copy.origin, inner)
                        yield Found(image=None if made else copy.origin.image)


def _mentions(stage: Stage, path: str) -> bool:
    """Return whether a stage's commands may make a file."""
    names = {path, posixpath.basename(path)}
    return any(name in run.command for run in stage.runs for name in names)


def _find_in_project(copy: Copy, path: str, context: BuildContext) -> Iterator[Found | Lost]:
    if any("://" in source or source.startswith("<<") for source in copy.sources):
        if _is_below(path, copy.target):
            yield Found()
        return
    for source in find_sources(copy, context):
        try:
            relative = source.relative_to(context.folder)
        except ValueError:
            continue
        is_file = source.is_file() or (not source.exists() and _looks_like_file(source.name))
        name = f"/{relative.as_posix()}"
        inners = _inside(name, copy.target, path, is_file=is_file)
        files = [context.folder / inner.lstrip("/") for inner in inners]
        there = [file for file in files if file.is_file()]
        yield from (Found(file) for file in there if not context.ignores(file))
        if files and all(map(context.ignores, there)):
            yield Lost((there or files)[0], is_ignored=bool(there))


def _looks_like_file(source: str) -> bool:
    name = PurePosixPath(source)
    return bool(name.suffix) or name.name in ("boot", "python_template_launcher")


def _inside(source: str, target: str, path: str, *, is_file: bool) -> Iterator[str]:
    """Yield the paths that ``path`` may have at its origin: below a folder, or the file itself."""
    folder = posixpath.normpath(target)
    name = PurePosixPath(source).name
    source = posixpath.normpath(f"/{source.lstrip('/')}")
    if path == folder or path == posixpath.join(folder, name):
        yield source
    elif _is_below(path, folder) and not is_file:
        yield posixpath.normpath(posixpath.join(source, posixpath.relpath(path, folder)))


def _is_below(path: str, folder: str) -> bool:
    folder = posixpath.normpath(folder)
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def resolve(path: str, workdir: str) -> str:
    """Return an image's path, made absolute."""
    return posixpath.normpath(posixpath.join(workdir, path))


_MADE = re.compile(r"\b(cp|mv|ln|curl|wget|install|tar|unzip|git|gsutil|gcloud|tee)\b|>")


def is_made_by_run(stage: Stage, path: str) -> bool:
    """Return whether a command of the stage may make a file that no COPY adds."""
    for run in stage.runs:
        whole = path in run.command or posixpath.dirname(path) in run.command
        inside = _is_below(path, run.workdir) and run.workdir != "/"
        if (whole or inside) and _MADE.search(run.command):
            return True
    return False
