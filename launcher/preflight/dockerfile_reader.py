"""A Dockerfile read into what decides how Dataflow can use its image: the last stage's effects.

Uses dockerfile-parse for the syntax. Build arguments have their defaults.
"""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dockerfile_parse import DockerfileParser

from launcher.errors import InputError

_VARIABLE = re.compile(
    r"\$(?:(?P<plain>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)(?::?-(?P<default>[^}]*))?\})"
)
# ${NAME:+WORD}: the word if the variable has a value. Of the base image's own nothing is known.
_WORD_IF_SET = re.compile(r"\$\{(?P<name>[A-Za-z_]\w*):\+(?P<word>(?:[^{}]|\{[^{}]*\})*)\}")


@dataclass(frozen=True)
class Copy:
    """A COPY or ADD, of this project's files or of another stage's."""

    sources: tuple[str, ...]
    target: str


@dataclass(frozen=True)
class Base:
    """A FROM: the image, and the platform that it asks for."""

    image: str
    platform: str | None


@dataclass(frozen=True)
class Dockerfile:
    """What a Dockerfile makes.

    Attributes:
        bases: every image that is pulled, in order, that of the last stage last.
        env: variables of the last stage.
        entrypoint: of the last stage; None where it inherits its base's.
        runs: shell commands of the last stage.
    """

    path: Path
    bases: tuple[Base, ...]
    env: Mapping[str, str]
    entrypoint: tuple[str, ...] | None
    copies: tuple[Copy, ...]
    runs: tuple[str, ...]

    @property
    def base(self) -> str:
        """The image of the last stage."""
        return self.bases[-1].image

    def copies_file(self, path: str) -> bool:
        """Return whether a COPY brings the file, or a folder above it, to that path."""
        return any(
            path == copy.target or path.startswith(f"{copy.target.rstrip('/')}/")
            for copy in self.copies
        )


def read_dockerfile(path: Path) -> Dockerfile:
    """Read a Dockerfile.

    Raises:
        InputError: it cannot be read, or has no FROM.
    """
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise InputError(f"--dockerfile {path}: {problem.strerror}") from problem
    parser = DockerfileParser(fileobj=io.BytesIO(content), env_replace=False)
    return _Reader(path).read((entry["instruction"], entry["value"]) for entry in parser.structure)


class _Reader:
    """Goes through the instructions once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._global_args: dict[str, str] = {}
        self._stages: dict[str, str] = {}
        self._bases: list[Base] = []
        self._begin_stage()

    def _begin_stage(self) -> None:
        self._args: dict[str, str] = {}
        self._env: dict[str, str] = {}
        self._entrypoint: tuple[str, ...] | None = None
        self._copies: list[Copy] = []
        self._runs: list[str] = []

    def read(self, instructions: Iterable[tuple[str, str]]) -> Dockerfile:
        for instruction, value in instructions:
            match instruction:
                case "ARG":
                    self._read_arg(value)
                case "FROM":
                    self._read_from(value)
                case "ENV":
                    self._read_env(value)
                case "ENTRYPOINT":
                    self._entrypoint = tuple(_command(self._expand(value)))
                case "COPY" | "ADD":
                    self._read_copy(value)
                case "RUN":
                    self._runs.append(self._expand(value))
        if not self._bases:
            raise InputError(f"--dockerfile {self._path}: no FROM; is it a Dockerfile?")
        return Dockerfile(
            self._path,
            tuple(self._bases),
            self._env,
            self._entrypoint,
            tuple(self._copies),
            tuple(self._runs),
        )

    def _read_arg(self, value: str) -> None:
        for word in shlex.split(value):
            name, equals, default = word.partition("=")
            if not self._bases:
                self._global_args[name] = self._expand(default)
            elif equals:
                self._args[name] = self._expand(default)
            else:
                self._args[name] = self._global_args.get(name, "")

    def _read_from(self, value: str) -> None:
        words = _substitute(value, self._global_args).split()
        platform = next(
            (word.partition("=")[2] for word in words if word.startswith("--platform=")), None
        )
        words = [word for word in words if not word.startswith("--")]
        image = self._stages.get(words[0], words[0])
        self._begin_stage()
        self._bases.append(Base(image, platform))
        if len(words) == 3 and words[1].lower() == "as":
            self._stages[words[2]] = image

    def _read_env(self, value: str) -> None:
        words = shlex.split(value)
        if words and "=" not in words[0]:  # the old form, ENV NAME VALUE
            words = [f"{words[0]}={' '.join(words[1:])}"]
        known = dict(self._env)  # one instruction does not see its own variables
        for word in words:
            name, _, text = word.partition("=")
            self._env[name] = _substitute(text, {**self._args, **known})

    def _read_copy(self, value: str) -> None:
        text = self._expand(value)
        words = _command(re.sub(r"--\w+(=\S+)?\s+", "", text))
        if len(words) >= 2:
            self._copies.append(Copy(tuple(words[:-1]), words[-1]))

    def _expand(self, value: str) -> str:
        return _substitute(value, {**self._args, **self._env})


def _substitute(text: str, values: Mapping[str, str]) -> str:
    """Replace the variables that are known; the shell's own stay."""

    def replace(match: re.Match[str]) -> str:
        name = match["plain"] or match["braced"]
        return values.get(name) or match["default"] or (match[0] if name not in values else "")

    text = _WORD_IF_SET.sub(lambda match: match["word"] if values.get(match["name"]) else "", text)
    return _VARIABLE.sub(replace, text)


def _command(text: str) -> list[str]:
    """Return the words of an instruction in its JSON or its shell form."""
    if text.lstrip().startswith("["):
        try:
            return [str(word) for word in json.loads(text)]
        except ValueError:
            pass
    return text.split()
