"""Reads which files a ``.dockerignore`` excludes from the build's context.

https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class _Rule:
    """A line of an ignore file."""

    pattern: re.Pattern[str]
    is_exception: bool
    text: str


@dataclass(frozen=True)
class IgnoreFile:
    """The rules of an ignore file; without any rules, nothing is excluded."""

    rules: tuple[_Rule, ...] = ()

    def ignores(self, path: Path) -> bool:
        """Return the verdict of the last rule that matches a path or a folder above it.

        Args:
            path: relative to the context.
        """
        places = [place.as_posix() for place in (path, *path.parents)]
        matching = (
            rule for rule in reversed(self.rules) if any(map(rule.pattern.fullmatch, places))
        )
        last = next(matching, None)
        return last is not None and not last.is_exception

    def ignores_all_of(self, folder: Path) -> bool:
        """Return whether a folder is excluded and no exception can be inside it."""
        depth = len(folder.parts)
        return self.ignores(folder) and not any(
            rule.is_exception
            and (
                "**" in rule.text
                or _translate("/".join(PurePosixPath(rule.text).parts[:depth])).fullmatch(
                    folder.as_posix()
                )
            )
            for rule in self.rules
        )


def read_ignore_file(path: Path) -> IgnoreFile:
    """Read an ignore file, which need not exist."""
    if not path.is_file():
        return IgnoreFile()
    rules = []
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        is_exception = text.startswith("!")
        text = text.removeprefix("!").strip().removeprefix("./").strip("/")
        rules.append(_Rule(_translate(text), is_exception, text))
    return IgnoreFile(tuple(rules))


def _translate(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", pattern)
    wildcards = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    try:
        return re.compile(
            "".join(
                wildcards.get(part) or (part if part.startswith("[") else re.escape(part))
                for part in parts
            )
        )
    except re.error:
        return re.compile(re.escape(pattern))
