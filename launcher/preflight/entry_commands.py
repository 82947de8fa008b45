"""Command-line libraries besides argparse that refuse the launcher's flags: click, absl ..."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from launcher.preflight.source_file import SourceFile, called

_SETTING = "ignore_unknown_options"
_KEEP_UNKNOWN = (
    'Give it context_settings={"ignore_unknown_options": True, "allow_extra_args": True}, and pass '
    "the rest to PipelineOptions."
)
_PARSE_KNOWN = "Use argparse's parse_known_args() and pass the unknown flags to PipelineOptions."


def find_refusing_commands(source: SourceFile) -> Iterator[tuple[ast.AST, str, str]]:
    """Yield the place, problem and remedy of each command that refuses unknown flags."""
    modules = _find_modules(source)
    if modules & {"click", "typer"}:
        for node in _find_decorators(source):
            if not _keeps_unknown(node, source):
                yield node, "the command refuses the flags that the launcher adds", _KEEP_UNKNOWN
    for call in source.calls:
        name = ast.unparse(call.func)
        if name in ("app.run", "absl.app.run") and not any(
            keyword.arg == "flags_parser" for keyword in call.keywords
        ):
            yield (
                call,
                "absl's app.run() exits at the flags that the launcher adds",
                "Pass flags_parser=lambda argv: flags.FLAGS(argv, known_only=True).",
            )
        elif name in ("typer.run", "docopt", "docopt.docopt") and name.split(".")[0] in modules:
            yield call, f"{name}() exits at the flags that the launcher adds", _PARSE_KNOWN


def _find_modules(source: SourceFile) -> set[str]:
    found = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def _find_decorators(source: SourceFile) -> Iterator[ast.expr]:
    """Yield the decorators that turn functions into commands, called or bare."""
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for decorator in node.decorator_list:
                name = called(decorator) if isinstance(decorator, ast.Call) else _name(decorator)
                if name in ("command", "group"):
                    yield decorator


def _name(node: ast.expr) -> str:
    return ast.unparse(node).rpartition(".")[2]


def _keeps_unknown(decorator: ast.expr, source: SourceFile) -> bool:
    """Return whether a decorator, or the variable with its settings, keeps unknown flags."""
    if not isinstance(decorator, ast.Call):
        return False
    if _SETTING in ast.unparse(decorator):
        return True
    names = {
        each.id
        for keyword in decorator.keywords
        for each in ast.walk(keyword.value)
        if isinstance(each, ast.Name)
    }
    return any(
        names & {ast.unparse(target) for target in node.targets}
        and _SETTING in ast.unparse(node.value)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assign)
    )
