"""Checks an entry file's parsers: which flags they refuse or withhold from Beam."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from launcher.finding import ENTRY_PARSE_ARGS, ENTRY_SWALLOWS, Finding, error, warning
from launcher.package.metadata_checks import RESERVED_OPTIONS
from launcher.preflight.entry_commands import find_refusing_commands
from launcher.preflight.entry_options import find_settings
from launcher.preflight.source_file import SourceFile, called, find_text

_LAUNCHER_FLAGS = (*sorted(RESERVED_OPTIONS), "staging_location", "temp_location")
# Without the others Beam uses its defaults: another bucket or region.
_NEEDED = ("project", "runner", "template_location")


def check_parsers(source: SourceFile) -> Iterator[Finding]:
    """Yield parsers that refuse the launcher's flags or withhold them from Beam."""
    yield from _check_refusals(source)
    yield from _check_swallowed(source)


def _check_refusals(source: SourceFile) -> Iterator[Finding]:
    """Yield parsers that refuse unknown flags."""
    for node, problem, remedy in (*_find_strict_parsers(source), *find_refusing_commands(source)):
        # A function in a module of the project may never be called.
        is_sure = source.is_entry or id(node) not in source.nodes_in_functions
        yield (error if is_sure else warning)(
            ENTRY_PARSE_ARGS,
            f"{source.at(node)}: {problem} (--runner, --project, --template_location and others)",
            remedy,
        )


def _find_strict_parsers(source: SourceFile) -> Iterator[tuple[ast.AST, str, str]]:
    for call in source.calls:
        if called(call) != "parse_args" or not isinstance(call.func, ast.Attribute):
            continue
        given = [*call.args, *(each.value for each in call.keywords if each.arg == "args")]
        if given and isinstance(given[0], ast.List) and not given[0].elts:
            continue
        yield (
            call,
            "parse_args() exits with status 2 because of the flags that the launcher adds",
            "Call parse_known_args() and pass the unknown flags to PipelineOptions.",
        )


def _check_swallowed(source: SourceFile) -> Iterator[Finding]:
    """Yield the launcher's flags that a parser consumes and Beam never gets."""
    rests = {
        ast.unparse(node.targets[0].elts[1])
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and called(node.value) == "parse_known_args"
        and isinstance(node.targets[0], ast.Tuple)
        and len(node.targets[0].elts) == 2
    }
    gets_rest = any(
        called(call).endswith("Options") and rests & {ast.unparse(each) for each in _flags_of(call)}
        for call in source.calls
    )
    if not gets_rest:
        return
    declared = dict(_find_declared(source))
    for option in _LAUNCHER_FLAGS:
        flag = f"--{option}"
        longer = [name for name in declared if name.startswith(flag)]
        if flag in declared:
            taker = flag
        elif longer and "allow_abbrev=False" not in source.text:
            taker = longer[0]
        else:
            continue
        call, destination = declared[taker]
        if _is_handed_over(source, option, destination):
            continue
        how = "" if taker == flag else f", which argparse takes for {taker}"
        yield (error if option in _NEEDED else warning)(
            ENTRY_SWALLOWS,
            f"{source.at(call)}: the file's own parser consumes the launcher's flag {flag}{how}, "
            "and Beam never gets it",
            f"Remove {taker} from the parser, or pass its value on: PipelineOptions(rest, "
            f"{option}=args.{destination})."
            if taker == flag
            else "Make the parser with allow_abbrev=False.",
        )


def _flags_of(call: ast.Call) -> list[ast.expr]:
    return [*call.args[:1], *(each.value for each in call.keywords if each.arg == "flags")]


def _find_declared(source: SourceFile) -> Iterator[tuple[str, tuple[ast.Call, str]]]:
    """Yield the flags of the file's own parsers, each with its call and where its value goes."""
    own = {
        id(child)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).endswith("Options") for base in node.bases)
        for child in ast.walk(node)
    }
    for call in source.calls:
        if called(call) != "add_argument" or id(call) in own:
            continue
        flags = [text for each in call.args if (text := find_text(each))]
        named = [find_text(each.value) for each in call.keywords if each.arg == "dest"]
        for flag in flags:
            if flag.startswith("--"):
                yield flag, (call, named[0] if named and named[0] else flag[2:].replace("-", "_"))


def _is_handed_over(source: SourceFile, option: str, destination: str) -> bool:
    """Return whether an argument's value becomes an option."""
    if "vars(" in source.text or "__dict__" in source.text:
        return True
    for node, name, value in find_settings(source):
        given = node if value is None else value
        if name == option and destination in ast.unparse(given):
            return True
    return f"--{option}=" in source.text or f"runner=args.{destination}" in source.text
