"""Checks of the entry file and of the user's modules that it imports, read as syntax trees.

Nothing is imported or run. What the launcher expects of the file:
https://cloud.google.com/dataflow/docs/guides/templates/configuring-flex-templates
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import InputError
from launcher.finding import (
    ENTRY_AFTER_RUN,
    ENTRY_DEFINES,
    ENTRY_IMPORT,
    ENTRY_MODEL,
    ENTRY_OPTIONS,
    ENTRY_PARSE_ARGS,
    ENTRY_POISON,
    ENTRY_SILENT_CPU,
    ENTRY_STREAM_BATCHES,
    ENTRY_SYNTAX,
    ENTRY_WAITS,
    Finding,
    error,
    warning,
)
from launcher.package.metadata_checks import RESERVED_OPTIONS

_AFTER_RUN = {
    "metrics": "no job exists yet whose metrics could be read",
    "cancel": "no job exists yet that could be cancelled",
}
_ON_WORKERS = ("DoFn", "PTransform", "CombineFn", "BaseModel", "Coder", "ModelHandler")


@dataclass(frozen=True)
class SourceFile:
    """A parsed Python file; ``name`` is how messages call it."""

    name: str
    tree: ast.Module
    is_entry: bool

    def at(self, node: ast.AST) -> str:
        """Return ``file:line`` of a node."""
        return f"{self.name}:{getattr(node, 'lineno', 0)}"


def check_entry_file(path: Path, *, root: Path) -> list[Finding]:
    """Return what would fail or mislead the launcher in the entry file and its own modules.

    Args:
        root: the folder from which the entry file's own modules are imported.

    Raises:
        InputError: there is no such file.
    """
    if not path.is_file():
        raise InputError(f"--entry-file {path}: no such file")
    findings: list[Finding] = []
    seen: set[Path] = set()
    waiting = [path]
    # A package is in the image whole: models are imported by name, when the job runs.
    in_package = (path.parent / "__init__.py").is_file()
    others = sorted(path.parent.rglob("*.py")) if in_package else []
    while waiting or others:
        is_imported = bool(waiting)
        current = (waiting or others).pop(0)
        if current in seen:
            continue
        seen.add(current)
        try:
            tree = ast.parse(current.read_text(encoding="utf-8"), filename=str(current))
        except (SyntaxError, UnicodeDecodeError) as problem:
            findings.append(
                error(ENTRY_SYNTAX, f"{_shorten(current, root)}: {problem}", "Correct the file.")
            )
            continue
        source = SourceFile(_shorten(current, root), tree, current == path)
        findings.extend(_check_imports(source, (root, path.parent)))
        if is_imported:
            findings.extend(_check(source))
            waiting.extend(_find_own_modules(tree, (root, path.parent)))
    return findings


def _check_imports(source: SourceFile, folders: tuple[Path, ...]) -> Iterator[Finding]:
    """Find modules that do not exist, if this is an environment in which templates run."""
    if importlib.util.find_spec("apache_beam") is None:
        return
    for node in source.tree.body:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in {name.partition(".")[0] for name in names} - sys.stdlib_module_names:
            own = any(
                (folder / name).is_dir() or (folder / f"{name}.py").is_file() for folder in folders
            )
            if not own and importlib.util.find_spec(name) is None:
                yield warning(
                    ENTRY_IMPORT,
                    f"{source.at(node)}: imports {name!r}, which is neither in the project nor "
                    "installed here",
                    "Unless the image has it, add it to docker/requirements.in and run "
                    "'make lock'; 'make image-test' imports all code in the image.",
                )


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


def _check(source: SourceFile) -> Iterator[Finding]:
    if source.is_entry:
        yield from _check_definitions(source)
    yield from _check_flags(source)
    yield from _check_options(source)
    yield from _check_after_run(source)
    yield from _check_inference(source)


def _check_definitions(source: SourceFile) -> Iterator[Finding]:
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
            if any(base.endswith(_ON_WORKERS) for base in bases):
                yield warning(
                    ENTRY_DEFINES,
                    f"{source.at(node)}: class {node.name} is defined in the entry file, whose "
                    "globals do not exist on the workers",
                    "Move it into a module of a package that the image holds, and import it.",
                )
        if _calls(node, "torch.load", "load_state_dict") and not isinstance(
            node, (ast.FunctionDef, ast.ClassDef, ast.If)
        ):
            yield warning(
                ENTRY_MODEL,
                f"{source.at(node)}: loads a model when the launcher starts, which makes the "
                "launch slow and the job's graph as large as the model",
                "Load it on the workers: in DoFn.setup or a ModelHandler's load_model.",
            )


def _check_flags(source: SourceFile) -> Iterator[Finding]:
    for node in ast.walk(source.tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "parse_args"
            and not (node.args and isinstance(node.args[0], ast.List) and not node.args[0].elts)
        ):
            yield error(
                ENTRY_PARSE_ARGS,
                f"{source.at(node)}: parse_args() exits with status 2 at the flags that the "
                "launcher adds (--runner, --project, --template_location and others)",
                "Call parse_known_args() and hand what it does not know to PipelineOptions.",
            )


def _check_options(source: SourceFile) -> Iterator[Finding]:
    views = _names_assigned_from(source.tree, "view_as", "PipelineOptions", "GoogleCloudOptions")
    for node in ast.walk(source.tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            targets = [node.target]
        for target in targets:
            if (
                isinstance(target, ast.Attribute)
                and target.attr in RESERVED_OPTIONS
                and (_is_view(target.value) or ast.unparse(target.value) in views)
            ):
                yield _overwritten(source, node, target.attr)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("PipelineOptions"):
            for keyword in node.keywords:
                if keyword.arg in RESERVED_OPTIONS:
                    yield _overwritten(source, node, keyword.arg)


def _overwritten(source: SourceFile, node: ast.AST, option: str) -> Finding:
    return error(
        ENTRY_OPTIONS,
        f"{source.at(node)}: sets {option}, which the launcher owns; with another value the "
        "launch ends without its job file",
        "Remove it; the launcher passes the right one as a flag.",
    )


def _check_after_run(source: SourceFile) -> Iterator[Finding]:
    # Code that asks for template_location knows that it runs in a launcher.
    text = ast.unparse(source.tree)
    if "template_location" in text:
        return
    results = _names_assigned_from(source.tree, "run")
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        receiver = node.func.value
        of_run = ast.unparse(receiver) in results or _is_run(receiver)
        if not of_run:
            continue
        if node.func.attr in _AFTER_RUN:
            yield error(
                ENTRY_AFTER_RUN,
                f"{source.at(node)}: calls {node.func.attr}() on what run() returned, and in the "
                f"launcher {_AFTER_RUN[node.func.attr]}",
                "Do it where the job is launched: flexpack jobs metrics, or "
                "launcher.wait_for_job(...).",
            )
        elif node.func.attr == "wait_until_finish":
            yield warning(
                ENTRY_WAITS,
                f"{source.at(node)}: waits for the job in the launcher, which only stages it",
                "Wait where the job is launched (flexpack run --wait), or only where there is no "
                "template_location.",
            )


def _check_inference(source: SourceFile) -> Iterator[Finding]:
    text = ast.unparse(source.tree)
    streams = "ReadFromPubSub" in text
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        if name == "RunInference" and "with_exception_handling" not in text:
            effect = "stalls the pipeline for ever" if streams else "fails the whole job"
            yield warning(
                ENTRY_POISON,
                f"{source.at(node)}: RunInference without with_exception_handling(): one bad "
                f"record {effect}",
                "Add .with_exception_handling() and write the failures somewhere.",
            )
        if not name.startswith("PytorchModelHandler"):
            continue
        device = keywords.get("device")
        if isinstance(device, ast.Constant) and str(device.value).lower() in ("gpu", "cuda"):
            yield warning(
                ENTRY_SILENT_CPU,
                f"{source.at(node)}: {name}(device={device.value!r}) predicts on the CPU, at the "
                "price of a GPU, where CUDA is not usable",
                "Raise in load_model where torch.cuda.is_available() is false.",
            )
        if streams and "max_batch_duration_secs" not in keywords:
            yield warning(
                ENTRY_STREAM_BATCHES,
                f"{source.at(node)}: {name} in a streaming pipeline without "
                "max_batch_duration_secs: its batches hold one element each",
                "Pass max_batch_duration_secs, for example 0.1.",
            )


def _names_assigned_from(tree: ast.Module, *calls: str) -> set[str]:
    """Return the names that are assigned what a call of one of these functions returns."""
    return {
        ast.unparse(target)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        if ast.unparse(node.value.func).rpartition(".")[2] in calls
        for target in node.targets
    }


def _is_view(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".view_as")


def _is_run(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".run")


def _calls(node: ast.AST, *functions: str) -> bool:
    return any(
        isinstance(child, ast.Call) and ast.unparse(child.func).endswith(functions)
        for child in ast.walk(node)
    )
