"""Checks of the entry file and of the user's modules that it imports, read as syntax trees.

Nothing is imported or run. What the launcher expects of the file:
https://cloud.google.com/dataflow/docs/guides/templates/configuring-flex-templates
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from launcher.errors import InputError
from launcher.finding import ENTRY_IMPORT, ENTRY_SYNTAX, Finding, error, warning
from launcher.preflight.entry_options import check_options
from launcher.preflight.entry_parsers import check_parsers
from launcher.preflight.entry_pipeline import check_pipeline
from launcher.preflight.source_file import SourceFile


def check_entry_file(path: Path, *, root: Path) -> list[Finding]:
    """Return the problems that the launcher would have with the entry file and its modules.

    Args:
        root: the folder from which the entry file's own modules are imported.

    Raises:
        InputError: the file does not exist.
    """
    if not path.is_file():
        raise InputError(f"--entry-file {path}: no such file")
    findings: list[Finding] = []
    seen: set[Path] = set()
    waiting = [path]
    # The image holds whole packages: a job imports models by name when it runs.
    in_package = (path.parent / "__init__.py").is_file()
    others = sorted(path.parent.rglob("*.py")) if in_package else []
    while waiting or others:
        is_imported = bool(waiting)
        current = (waiting or others).pop(0)
        if current in seen:
            continue
        seen.add(current)
        name = _shorten(current, root)
        tree = parse_module(current, name)
        if isinstance(tree, Finding):
            findings.append(tree)
            continue
        source = SourceFile(name, tree, current == path)
        findings.extend(_check_imports(source, (root, path.parent)))
        if is_imported:
            findings += [
                *check_options(source),
                *check_parsers(source),
                *check_pipeline(source),
            ]
            waiting.extend(_find_own_modules(tree, (root, path.parent)))
    return findings


def parse_module(path: Path, name: str) -> ast.Module | Finding:
    """Return a file's syntax tree, or why there is none; ``name`` is the file's in the finding."""
    try:
        # Bytes: Python looks for a byte order mark and for a declared encoding.
        return ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        why = str(problem) or type(problem).__name__
        return error(ENTRY_SYNTAX, f"{name}: {why}", "Correct the file.")


def _check_imports(source: SourceFile, folders: tuple[Path, ...]) -> Iterator[Finding]:
    """Find missing modules, if templates can run in this environment."""
    if importlib.util.find_spec("apache_beam") is None:
        return
    seen: set[str] = set()
    for node in source.tree.body:
        for name in _list_imports(node):
            top = name.partition(".")[0]
            if top in seen or top in sys.stdlib_module_names or _is_own(top, folders):
                continue
            seen.add(top)
            if importlib.util.find_spec(top) is None:
                yield warning(
                    ENTRY_IMPORT,
                    f"{source.at(node)}: imports {top!r}, which is neither in the project nor "
                    "installed here",
                    "Add it, unless the image has it, to docker/requirements.in and run "
                    "'make lock'; 'make image-test' imports all code in the image.",
                )


def _list_imports(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module]
    return []


def _is_own(name: str, folders: tuple[Path, ...]) -> bool:
    """Return whether a module belongs to the project: in its folder or below ``src``."""
    places = [place for folder in folders for place in (folder, folder / "src")]
    return any((place / name).is_dir() or (place / f"{name}.py").is_file() for place in places)


def _shorten(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _find_own_modules(tree: ast.Module, folders: tuple[Path, ...]) -> Iterator[Path]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            for folder in folders:
                module = folder.joinpath(*name.split("."))
                for path in (module.with_suffix(".py"), module / "__init__.py"):
                    if path.is_file():
                        yield path
