"""Checks an entry file's pipeline: what it defines, runs, loads and predicts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from launcher.finding import (
    ENTRY_AFTER_RUN,
    ENTRY_DEFINES,
    ENTRY_MODEL,
    ENTRY_NEVER_RUNS,
    ENTRY_POISON,
    ENTRY_SILENT_CPU,
    ENTRY_STREAM_BATCHES,
    ENTRY_WAITS,
    Finding,
    error,
    hint,
    warning,
)
from launcher.preflight.source_file import SourceFile, called

_AFTER_RUN = {
    "metrics": "there is no job yet, and therefore no metrics",
    "cancel": "there is no job yet to cancel",
}
_ON_WORKERS = ("DoFn", "PTransform", "CombineFn", "BaseModel", "Coder", "ModelHandler")
_SAVES_SESSION = re.compile(r"save_main_session['\"]?\]?\s*(=|:)\s*True|--save_main_session")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def check_pipeline(source: SourceFile) -> Iterator[Finding]:
    """Yield what the pipeline wrongly does in the launcher, or what the workers will lack."""
    if source.is_entry:
        yield from _check_is_run(source)
        yield from _check_definitions(source)
    yield from _check_after_run(source)
    yield from _check_inference(source)


def _check_is_run(source: SourceFile) -> Iterator[Finding]:
    """Yield a finding if the file builds no pipeline when the launcher runs it."""
    functions = [node for node in source.tree.body if isinstance(node, _FUNCTIONS)]
    if not functions:
        return
    for node in source.tree.body:
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            if "'__main__'" in ast.unparse(node.test):
                return
            yield error(
                ENTRY_NEVER_RUNS,
                f"{source.at(node)}: if {ast.unparse(node.test)}: is never true, so the launcher "
                "builds no pipeline",
                'Write if __name__ == "__main__":.',
            )
            return
        is_code = not isinstance(
            node, (*_FUNCTIONS, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
        )
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_code and not is_text and not _is_set_up(node):
            return
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and _calls_own(node, functions):
            return
    main = next((node for node in functions if node.name in ("main", "run")), functions[-1])
    yield error(
        ENTRY_NEVER_RUNS,
        f"{source.at(main)}: nothing calls {main.name}() when the launcher runs the file, which "
        "builds no pipeline",
        f'End the file with if __name__ == "__main__": {main.name}().',
    )


def _is_set_up(node: ast.stmt) -> bool:
    """Return whether a statement sets up logs, warnings or paths, and builds nothing."""
    text = ast.unparse(node)
    return isinstance(node, ast.Expr) and text.startswith(("logging.", "warnings.", "sys.path"))


def _calls_own(node: ast.stmt, functions: list[ast.FunctionDef | ast.AsyncFunctionDef]) -> bool:
    names = {function.name for function in functions}
    return any(isinstance(each, ast.Call) and called(each) in names for each in ast.walk(node))


def _check_definitions(source: SourceFile) -> Iterator[Finding]:
    saves_session = bool(_SAVES_SESSION.search(source.text))
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
            if any(base.endswith(_ON_WORKERS) for base in bases):
                yield (hint if saves_session else warning)(
                    ENTRY_DEFINES,
                    f"{source.at(node)}: class {node.name} is defined in the entry file, "
                    + (
                        "and reaches the workers by save_main_session, which pickles the whole file"
                        if saves_session
                        else "whose globals do not exist on the workers"
                    ),
                    "Move it into a module of a package that the image holds, and import it.",
                )
        if _calls(node, "torch.load", "load_state_dict") and not isinstance(
            node, (*_FUNCTIONS, ast.ClassDef, ast.If)
        ):
            yield warning(
                ENTRY_MODEL,
                f"{source.at(node)}: loads a model when the launcher starts: the launch is slow, "
                "and the job's graph is as large as the model",
                "Load it on the workers: in DoFn.setup or a ModelHandler's load_model.",
            )


def _check_after_run(source: SourceFile) -> Iterator[Finding]:
    # Code that checks template_location or has_job expects that there might be no job.
    if "template_location" in source.text or "has_job" in source.text:
        return
    results = source.names_assigned_from("run")
    for call in source.calls:
        if not isinstance(call.func, ast.Attribute):
            continue
        receiver = call.func.value
        if ast.unparse(receiver) not in results and not _is_run(receiver):
            continue
        if call.func.attr in _AFTER_RUN:
            yield error(
                ENTRY_AFTER_RUN,
                f"{source.at(call)}: calls {call.func.attr}() on what run() returned, and in the "
                f"launcher {_AFTER_RUN[call.func.attr]}",
                "Do it where the job is launched: flexpack jobs metrics, or "
                "launcher.wait_for_job(...).",
            )
        elif call.func.attr == "wait_until_finish":
            yield warning(
                ENTRY_WAITS,
                f"{source.at(call)}: waits for the job in the launcher, which only stages it",
                "Wait where the job is launched (flexpack run --wait), or only if there is no "
                "template_location.",
            )


def _check_inference(source: SourceFile) -> Iterator[Finding]:
    streams = "ReadFromPubSub" in source.text
    for call in source.calls:
        name = called(call)
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        if name == "RunInference" and "with_exception_handling" not in source.text:
            effect = "stalls the pipeline forever" if streams else "fails the whole job"
            yield warning(
                ENTRY_POISON,
                f"{source.at(call)}: RunInference without with_exception_handling(): one bad "
                f"record {effect}",
                "Add .with_exception_handling() and write the failures somewhere.",
            )
        if not name.startswith("PytorchModelHandler"):
            continue
        device = keywords.get("device")
        asks = isinstance(device, ast.Constant) and str(device.value).lower() in ("gpu", "cuda")
        if asks and "is_available" not in source.text:
            yield warning(
                ENTRY_SILENT_CPU,
                f"{source.at(call)}: {name}(device={ast.unparse(device or call)}) predicts on the "
                "CPU at the price of a GPU if CUDA does not work",
                "Raise in load_model if torch.cuda.is_available() is false.",
            )
        if streams and "max_batch_duration_secs" not in keywords:
            yield warning(
                ENTRY_STREAM_BATCHES,
                f"{source.at(call)}: {name} in a streaming pipeline without "
                "max_batch_duration_secs: its batches hold one element each",
                "Pass max_batch_duration_secs, for example 0.1.",
            )


def _is_run(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".run")


def _calls(node: ast.AST, *functions: str) -> bool:
    return any(
        isinstance(child, ast.Call) and ast.unparse(child.func).endswith(functions)
        for child in ast.walk(node)
    )
