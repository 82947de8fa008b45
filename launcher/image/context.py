"""What an image is made of: the Dockerfile, and the files that its ignore file lets the build see.

https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

DOCKERFILE = Path("docker") / "Dockerfile"
IGNORE_FILE = Path("docker") / "Dockerfile.dockerignore"


@dataclass(frozen=True)
class _Rule:
    """A line of an ignore file."""

    pattern: re.Pattern[str]
    is_exception: bool
    text: str


def find_context_files(root: Path) -> list[Path]:
    """Return the files that an image is made of, relative to the project's root, in order."""
    rules = _read_rules(root / IGNORE_FILE)
    found = {path for path in (DOCKERFILE, IGNORE_FILE) if (root / path).is_file()}
    found.update(_walk(root, rules))
    return sorted(found)


def hash_context(root: Path) -> str:
    """Return the hash of names and contents of the files that an image is made of."""
    digest = hashlib.sha256()
    for path in find_context_files(root):
        with (root / path).open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.as_posix()} {content}\n".encode())
    return digest.hexdigest()


def is_in_context(root: Path, path: str) -> bool:
    """Return whether a file, which need not exist, is part of what an image is made of."""
    given = Path(path)
    return given in (DOCKERFILE, IGNORE_FILE) or not _is_ignored(
        given, _read_rules(root / IGNORE_FILE)
    )


def _walk(root: Path, rules: list[_Rule]) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        here = Path(folder).relative_to(root)
        # What is ignored is not walked through, unless an exception lies in it.
        names[:] = [
            name
            for name in names
            if not _is_ignored(here / name, rules) or _has_exception(here / name, rules)
        ]
        yield from (here / name for name in files if not _is_ignored(here / name, rules))


def _is_ignored(path: Path, rules: list[_Rule]) -> bool:
    """Return what the last rule says that matches a path or a folder above it."""
    places = [place.as_posix() for place in (path, *path.parents)]
    matching = (rule for rule in reversed(rules) if any(map(rule.pattern.fullmatch, places)))
    last = next(matching, None)
    return last is not None and not last.is_exception


def _has_exception(folder: Path, rules: list[_Rule]) -> bool:
    depth = len(folder.parts)
    return any(
        rule.is_exception
        and (
            "**" in rule.text
            or _translate("/".join(PurePosixPath(rule.text).parts[:depth])).fullmatch(
                folder.as_posix()
            )
        )
        for rule in rules
    )


def _read_rules(path: Path) -> list[_Rule]:
    if not path.is_file():
        return []
    rules = []
    for line in path.read_text().splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        is_exception = text.startswith("!")
        text = text.removeprefix("!").strip().strip("/")
        rules.append(_Rule(_translate(text), is_exception, text))
    return rules


def _translate(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]*\])", pattern)
    wildcards = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(
            wildcards.get(part) or (part if part.startswith("[") else re.escape(part))
            for part in parts
        )
    )
