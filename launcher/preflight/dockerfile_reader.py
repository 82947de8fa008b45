"""Reads from a Dockerfile everything that decides how Dataflow can use its image.

Uses dockerfile-parse for the syntax, except for here-documents, which it does not support. Build
arguments have their defaults, or the values of ``--build-arg``; one without a value remains as
``$NAME``.
"""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from dockerfile_parse import DockerfileParser

from launcher.errors import InputError
from launcher.preflight.ignore_file import read_ignore_file
from launcher.preflight.stages import BuildContext, Command, Copy, Run, Stage, find_sources, resolve
from launcher.preflight.text_file import read_text

_VARIABLE = re.compile(
    r"(?<!\\)\$(?:(?P<plain>[A-Za-z_]\w*)"
    r"|\{(?P<braced>[A-Za-z_]\w*)(?::?-(?P<default>[^}]*))?\})"
)
# ${NAME:+WORD}: the word if the variable has a value. The base image's own variables are unknown.
_WORD_IF_SET = re.compile(r"\$\{(?P<name>[A-Za-z_]\w*):\+(?P<word>(?:[^{}]|\{[^{}]*\})*)\}")
_HEREDOC = re.compile(r"<<-?\s*(?P<quote>[\"']?)(?P<end>[A-Za-z_]\w*)(?P=quote)")
_TAKES_HEREDOC = re.compile(r"\s*(RUN|COPY|ADD)\s", re.IGNORECASE)
_FLAG = re.compile(r"--(?P<name>[\w-]+)(?:=(?P<value>\S*))?\s+")
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Dockerfile:
    """The image that a Dockerfile makes.

    Attributes:
        target: the stage that is built.
        context: the folder that it is built from, inferred from its files.
        encoding: of the file.
    """

    path: Path
    target: Stage
    context: BuildContext
    encoding: str = "utf-8"


def read_dockerfile(
    path: Path,
    *,
    root: Path | None = None,
    target: str | None = None,
    build_args: Mapping[str, str] = _NONE,
) -> Dockerfile:
    """Read a Dockerfile.

    Args:
        root: the folder that it is built from; default: its own or the one above.
        target: the name or number of the stage to build; default: the last.
        build_args: values of its build arguments.

    Raises:
        InputError: it cannot be read, has no FROM, or lacks the stage.
    """
    text = read_text(path, "--dockerfile")
    content, documents = _take_heredocs(text.content)
    parser = DockerfileParser(
        fileobj=io.BytesIO(content.encode("utf-8", errors="replace")), env_replace=False
    )
    reader = _Reader(path, build_args)
    for entry in parser.structure:
        reader.read(entry["instruction"], entry["value"], documents.get(entry["startline"], ()))
    stage = reader.find_stage(target)
    folder = _find_folder(stage, [root] if root else [], path)
    own = path.with_name(f"{path.name}.dockerignore")  # as BuildKit does
    ignored = read_ignore_file(own if own.is_file() else folder / ".dockerignore")
    context = BuildContext(folder, ignored)
    return Dockerfile(path, stage, context, text.encoding)


def _find_folder(stage: Stage, given: Sequence[Path], path: Path) -> Path:
    """Return the folder that holds most of the files that the Dockerfile copies."""
    folder = path.absolute().parent
    candidates = [*given, folder, *([] if given else [folder.parent])]
    counts = [
        sum(
            source.exists()
            for copy in stage.copies
            for source in find_sources(copy, BuildContext(each))
        )
        for each in candidates
    ]
    return candidates[counts.index(max(counts))]


def _take_heredocs(content: str) -> tuple[str, dict[int, tuple[str, ...]]]:
    """Return the text without its here-documents, and these by the line of their instruction."""
    kept: list[str] = []
    documents: dict[int, tuple[str, ...]] = {}
    lines = iter(content.splitlines())
    begin = 0
    is_continued = False
    for line in lines:
        if not is_continued:
            begin = len(kept)
        kept.append(line)
        is_comment = line.lstrip().startswith("#")
        is_continued = line.rstrip().endswith("\\") or (is_continued and is_comment)
        if is_comment or not _TAKES_HEREDOC.match(kept[begin]):
            continue
        for match in _HEREDOC.finditer(line):
            body = []
            for inner in lines:
                if inner.strip() == match["end"]:
                    break
                body.append(inner)
            documents[begin] = (*documents.get(begin, ()), "\n".join(body))
    return "\n".join(kept) + "\n", documents


class _Reader:
    """Reads the instructions, once each."""

    def __init__(self, path: Path, build_args: Mapping[str, str]) -> None:
        self._path = path
        self._given = build_args
        self._global_args: dict[str, str | None] = {}
        self._stages: list[tuple[str, Stage]] = []
        self._name: str | None = None
        self._begin_stage(Stage(image=""))

    def _begin_stage(self, parent: Stage) -> None:
        self._image, self._platform = parent.image, parent.platform
        self._args: dict[str, str | None] = {}
        self._env = dict(parent.env)
        self._workdir: str = parent.workdir
        self._entrypoint: Command | None = parent.entrypoint
        self._copies = list(parent.copies)
        self._runs = list(parent.runs)

    def read(self, instruction: str, value: str, documents: Sequence[str]) -> None:
        """Read one instruction."""
        if instruction == "ARG":
            self._read_arg(value)
        elif instruction == "FROM":
            self._end_stage()
            self._read_from(value)
        elif self._name is None:
            return
        elif instruction == "ENV":
            self._read_env(value)
        elif instruction == "WORKDIR":
            self._workdir = resolve(self._expand(value).strip(), self._workdir)
        elif instruction == "ENTRYPOINT":
            words, is_shell = _read_command(value)
            self._entrypoint = Command(tuple(self._expand(word) for word in words), is_shell)
        elif instruction in ("COPY", "ADD"):
            self._read_copy(value)
        elif instruction == "RUN":
            self._read_run(value, documents)

    def find_stage(self, target: str | None) -> Stage:
        """Return the stage of a name or number, or the last."""
        self._end_stage()
        if not self._stages:
            raise InputError(f"--dockerfile {self._path}: no FROM; is it a Dockerfile?")
        if target is None:
            return self._stages[-1][1]
        if stage := self._find_stage(target):
            return stage
        names = ", ".join(name for name, _ in self._stages if name) or "none with a name"
        raise InputError(f"--target {target}: {self._path} has no such stage; there is {names}")

    def _find_stage(self, name: str) -> Stage | None:
        for each, stage in reversed(self._stages):
            if each and each == name.lower():
                return stage
        if name.isdecimal() and int(name) < len(self._stages):
            return self._stages[int(name)][1]
        return None

    def _end_stage(self) -> None:
        if self._name is None:
            return
        stage = Stage(
            image=self._image,
            platform=self._platform,
            env=self._env,
            workdir=self._workdir,
            entrypoint=self._entrypoint,
            copies=tuple(self._copies),
            runs=tuple(self._runs),
        )
        self._stages.append((self._name, stage))
        self._name = None

    def _read_from(self, value: str) -> None:
        flags, rest = _split_flags(_substitute(value, self._global_args))
        words = rest.split()
        image = words[0] if words else "$"
        parent = self._find_stage(image) or Stage(image=image, platform=flags.get("platform"))
        self._name = words[2].lower() if len(words) == 3 and words[1].lower() == "as" else ""
        self._begin_stage(parent)

    def _read_arg(self, value: str) -> None:
        for word in _split_words(value):
            name, equals, default = word.partition("=")
            if self._name is None and not self._stages:
                known = self._global_args
                inherited = None
            else:
                known = self._args
                inherited = self._global_args.get(name)
            text = _substitute(default, {**known, **self._env}) if equals else None
            known[name] = self._given.get(name, inherited if text is None else text)

    def _read_env(self, value: str) -> None:
        words = _split_words(value)
        if words and "=" not in words[0]:  # the old form, ENV NAME VALUE
            words = [f"{words[0]}={' '.join(words[1:])}"]
        known = dict(self._env)  # an instruction does not see the variables that it sets
        for word in words:
            name, _, text = word.partition("=")
            self._env[name] = _substitute(text, {**self._args, **known})

    def _read_copy(self, value: str) -> None:
        flags, rest = _split_flags(self._expand(value))
        words, _ = _read_command(rest)
        if len(words) >= 2:
            target = words[-1]
            slash = "/" if target.endswith("/") and target != "/" else ""
            self._copies.append(
                Copy(
                    tuple(words[:-1]),
                    resolve(target, self._workdir) + slash,
                    self._find_origin(flags.get("from")),
                )
            )

    def _read_run(self, value: str, documents: Sequence[str]) -> None:
        text = value
        mounts = []
        while match := _FLAG.match(text):
            options = dict(
                item.partition("=")[::2] for item in self._expand(match["value"] or "").split(",")
            )
            target = options.get("target") or options.get("dst") or options.get("destination")
            if match["name"] == "mount" and options.get("type", "bind") == "bind" and target:
                source = options.get("source") or options.get("src") or "."
                origin = self._find_origin(options.get("from"))
                mounts.append(Copy((source,), resolve(target, self._workdir), origin))
            text = text[match.end() :]
        words, is_shell = _read_command(text)
        command = text if is_shell else shlex.join(words)
        command = "\n".join([self._expand(command), *map(self._expand, documents)])
        self._runs.append(Run(command, self._workdir, dict(self._env), tuple(mounts)))

    def _find_origin(self, name: str | None) -> Stage | str | None:
        return (self._find_stage(name) or name) if name else None

    def _expand(self, value: str) -> str:
        return _substitute(value, {**self._args, **self._env})


def _substitute(text: str, values: Mapping[str, str | None]) -> str:
    """Replace the variables whose values are known; the others stay."""

    def replace(match: re.Match[str]) -> str:
        value = values.get(match["plain"] or match["braced"])
        return value if value is not None else (match["default"] or match[0])

    text = _WORD_IF_SET.sub(lambda match: match["word"] if values.get(match["name"]) else "", text)
    return _VARIABLE.sub(replace, text)


def _split_words(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:  # an unclosed quote
        return value.split()


def _split_flags(value: str) -> tuple[dict[str, str], str]:
    """Return the flags at the beginning of an instruction, and the rest."""
    flags = {}
    value = value.lstrip()
    while match := _FLAG.match(value):
        flags[match["name"].lower()] = match["value"] or ""
        value = value[match.end() :]
    return flags, value


def _read_command(text: str) -> tuple[list[str], bool]:
    """Return an instruction's words, and whether it is in the shell form."""
    if text.lstrip().startswith("["):
        try:
            words: Iterable[object] = json.loads(text)
            return [str(word) for word in words], False
        except (ValueError, RecursionError):
            pass
    return text.split(), True
