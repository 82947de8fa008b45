"""Checks the options that an entry file sets, in every way that Beam accepts.

The launcher owns runner, project, region, job name and template location: with another value the
pipeline runs elsewhere or stages no job. https://beam.apache.org/documentation/sdks/python
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import zip_longest

from launcher.finding import ENTRY_OPTIONS, Finding, error, warning
from launcher.package.metadata_checks import RESERVED_OPTIONS
from launcher.preflight.source_file import SourceFile, called, find_text, list_items

_DATAFLOW = ("dataflow", "dataflowrunner")
# The place, the option, and its value if it can be read from the code.
Setting = tuple[ast.AST, str, ast.expr | None]

_ADDS = ("append", "extend", "insert")


def check_options(source: SourceFile) -> Iterator[Finding]:
    """Yield the launcher's options that the file overrides."""
    seen: set[tuple[int, str]] = set()
    for node, option, value in find_settings(source):
        key = getattr(node, "lineno", 0), option
        if option not in RESERVED_OPTIONS or key in seen or _is_right(option, value):
            continue
        seen.add(key)
        is_conditional = id(node) in source.nodes_under_if
        if value is not None:
            is_conditional |= isinstance(value, ast.IfExp)
        yield (warning if is_conditional else error)(
            ENTRY_OPTIONS,
            f"{source.at(node)}: sets {option}, which the launcher owns; with another value the "
            "launch ends without its job file",
            "Remove it; the launcher passes the right one as a flag.",
        )


def _is_right(option: str, value: ast.expr | None) -> bool:
    """Return whether a value is the launcher's own, passed on."""
    text = find_text(value)
    if option == "runner" and text and text.rpartition(".")[2].lower() in _DATAFLOW:
        return True
    if isinstance(value, ast.Constant) and value.value is None:
        return True
    if isinstance(value, (ast.Name, ast.Attribute, ast.Subscript)) or (
        isinstance(value, ast.Call) and called(value) in ("get", "getattr", "str")
    ):
        return option in ast.unparse(value).replace("-", "_").lower()
    return False


def find_settings(source: SourceFile) -> Iterator[Setting]:
    """Yield the assignments of options: place, option, and the value if the code shows it."""
    views = source.names_assigned_from(
        "view_as", "PipelineOptions", "GoogleCloudOptions", "StandardOptions", "from_dictionary"
    )
    dictionaries, lists = _find_handed_over(source)
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Attribute) and _is_options(target.value, views):
                    yield node, target.attr, node.value
                name = ast.unparse(target)
                if name in dictionaries and node.value is not None:
                    yield from _find_items(node.value)
                if name in lists and node.value is not None:
                    yield from _find_flags(node.value)
                if isinstance(target, ast.Subscript) and ast.unparse(target.value) in dictionaries:
                    yield node, find_text(target.slice) or "", node.value
        elif isinstance(node, ast.AugAssign) and _looks_like_arguments(node.target):
            yield from _find_flags(node.value)
        elif isinstance(node, ast.Call):
            yield from _find_in_call(node, views)


def _find_in_call(call: ast.Call, views: set[str]) -> Iterator[Setting]:
    name = called(call)
    if name.endswith("Options"):
        for keyword in call.keywords:
            if keyword.arg in (None, "flags"):
                yield from _find_items(keyword.value)
                yield from _find_flags(keyword.value)
            elif keyword.arg:
                yield call, keyword.arg, keyword.value
        for argument in call.args:
            yield from _find_flags(argument)
    elif name == "from_dictionary":
        for argument in call.args:
            yield from _find_items(argument)
    elif name == "setattr" and len(call.args) == 3 and _is_options(call.args[0], views):
        yield call, find_text(call.args[1]) or "", call.args[2]
    elif name in ("Pipeline", "TestPipeline"):
        if call.args and not isinstance(call.args[0], ast.Starred):
            value = call.args[0]
            is_runner = find_text(value) is not None or _makes_runner(value)
            if is_runner:
                yield call, "runner", value
        for keyword in call.keywords:
            if keyword.arg == "runner":
                yield call, "runner", keyword.value
            elif keyword.arg == "argv":
                yield from _find_flags(keyword.value)
    elif (
        name in _ADDS
        and isinstance(call.func, ast.Attribute)
        and _looks_like_arguments(call.func.value)
    ):
        for argument in call.args:
            yield from _find_flags(argument)


def _makes_runner(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and called(value).endswith("Runner")


def _find_items(node: ast.expr) -> Iterator[Setting]:
    """Yield the items of dictionaries: literal ones and those of ``dict(...)``."""
    for child in ast.walk(node):
        if isinstance(child, ast.Dict):
            for key, value in zip(child.keys, child.values, strict=True):
                if key is not None and (text := find_text(key)):
                    yield key, text, value
        elif isinstance(child, ast.Call) and called(child) == "dict":
            for keyword in child.keywords:
                if keyword.arg:
                    yield child, keyword.arg, keyword.value


def _find_flags(node: ast.expr) -> Iterator[Setting]:
    """Yield the flags ``--NAME=VALUE`` and ``--NAME VALUE`` in the lists of an expression."""
    items = [*list_items(node), *([node] if find_text(node) else [])]
    for item, after in zip_longest(items, items[1:]):
        text = find_text(item)
        if text is None or not text.startswith("--"):
            continue
        name, equals, value = text.removeprefix("--").partition("=")
        if not equals:
            yield item, name, after
        elif isinstance(item, ast.JoinedStr):
            inner = item.values[-1]
            yield item, name, inner.value if isinstance(inner, ast.FormattedValue) else item
        else:
            yield item, name, ast.Constant(value)


def _find_handed_over(source: SourceFile) -> tuple[set[str], set[str]]:
    """Return the names of dictionaries and of lists that become pipeline options."""
    dictionaries: set[str] = set()
    lists: set[str] = set()
    for call in source.calls:
        name = called(call)
        if name == "from_dictionary":
            dictionaries |= {ast.unparse(argument) for argument in call.args}
        elif name.endswith("Options"):
            spread = [keyword.value for keyword in call.keywords if keyword.arg is None]
            dictionaries |= {ast.unparse(value) for value in spread}
            flags = [keyword.value for keyword in call.keywords if keyword.arg == "flags"]
            lists |= {ast.unparse(value) for value in (*call.args, *flags)}
    return dictionaries, lists


def _is_options(node: ast.expr, views: set[str]) -> bool:
    is_view = isinstance(node, ast.Call) and called(node) == "view_as"
    return is_view or ast.unparse(node) in views


def _looks_like_arguments(node: ast.expr) -> bool:
    name = ast.unparse(node).lower()
    return any(word in name for word in ("arg", "option", "flag"))
