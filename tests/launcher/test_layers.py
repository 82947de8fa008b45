"""Which module may import which, and who may print: read from the source, type-only imports too."""

from __future__ import annotations

import ast
import functools
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# From the bottom up: a module imports from its own layer and lower ones.
LAYERS = (
    {f"launcher.{name}" for name in ("errors", "extras", "finding", "image_reference", "kit")},
    {"launcher.google"},
    {"launcher.accelerators"},
    {"launcher.package"},
    {"launcher.launch"},
    {"launcher.jobs"},
    {"launcher.preflight"},
    {"launcher.image"},
    {"launcher.workflow"},
    {"launcher.commands"},
    {"launcher.cli"},
    {"launcher"},  # the public API
    {"launcher.demo"},
    {"launcher.console"},
)
# Outside the layers: it imports none of them, so a typo cannot be the same on both sides.
EMULATOR = "launcher.emulator"
DAEMON = "launcher.emulator.daemon"
EXECUTOR = "launcher.emulator.executor"
# Bottom up, like LAYERS. The executor process is separate; no module imports it.
ROOMS = (
    {f"launcher.emulator.{name}" for name in ("gzip_requests", "labels", "strict_json")},
    {"launcher.emulator.storage"},
    {"launcher.emulator.runtime"},
    {"launcher.emulator.pubsub"},
    {"launcher.emulator.service"},
    {
        f"launcher.emulator.{name}"
        for name in (
            "connections",
            "console",
            "instance",
            "lock",
            "options",
            "ports",
            "server",
            "variables",
        )
    },
    {"launcher.emulator.foreground"},
    {DAEMON},
)
# A separate program, which the emulator starts: a client of the APIs that no module imports.
CONSOLE = "launcher.console"
# Shared by the two ends of the executor's pipes.
EXECUTOR_MAY_IMPORT = {
    f"launcher.emulator.runtime.{name}" for name in ("errors", "events", "execution", "states")
}
BEAM_INTERNALS = "launcher.emulator.executor.beam_internals"
STARTS_EMULATORS = {"launcher.preflight", "launcher.commands", "launcher.demo"}

# Runs in the environment of an image, in a separate process.
IN_THE_IMAGE = {EXECUTOR, "launcher.preflight.probes"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    module_name(path): path
    for folder in ("launcher", "template")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def read_imports(path: Path) -> set[str]:
    """Return every module that a file imports, at any depth in the file."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            assert node.module is not None
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = names & SOURCES.keys()
            imported |= modules
            if modules != names:
                imported.add(node.module)
    return imported


@functools.cache
def find_all_imports() -> dict[str, set[str]]:
    """Return what each module imports."""
    return {module: read_imports(path) for module, path in SOURCES.items()}


def is_in(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def find_layer(module: str) -> int | None:
    """Return the number of a module's layer; the most specific entry of the table wins."""
    if not is_in(module, {"launcher"}) or is_in(module, {EMULATOR}):
        return None
    if module == "launcher":
        return LAYERS.index({"launcher"})
    return next(
        (n for n, layer in enumerate(LAYERS) if is_in(module, layer - {"launcher"})),
        None,
    )


def find_room(module: str) -> int | None:
    """Return the number of a module's room in the emulator; None outside, and in the executor."""
    return next((n for n, rooms in enumerate(ROOMS) if is_in(module, rooms)), None)


def find_upward_imports(find_place) -> list[str]:
    return [
        f"{module} imports {name}"
        for module, imported in find_all_imports().items()
        for name in sorted(imported)
        if (place := find_place(module)) is not None and (find_place(name) or 0) > place
    ]


def find_imports(of, what):
    """Return ``module: imported`` for the modules and imports that satisfy both functions."""
    found = {
        module: sorted(filter(what, imported))
        for module, imported in find_all_imports().items()
        if of(module)
    }
    return {module: names for module, names in found.items() if names}


def test_the_sources_are_read():
    assert "template.parameters" in find_all_imports()["launcher.package.metadata"]
    assert "google.cloud.storage" in find_all_imports()["launcher.google.storage"]
    assert "launcher.jobs.records" in find_all_imports()["launcher"]  # for type checkers only


def test_every_module_has_a_layer_and_every_layer_its_modules():
    layers = {module: find_layer(module) for module in SOURCES if is_in(module, {"launcher"})}
    outside = {module for module, layer in layers.items() if layer is None}
    assert outside == {module for module in SOURCES if is_in(module, {EMULATOR})}
    for layer in LAYERS:
        for package in layer:
            assert package in SOURCES, package


def test_imports_go_down():
    assert find_upward_imports(find_layer) == []


def test_no_module_imports_itself_through_others():
    try:
        TopologicalSorter(
            {module: imported & SOURCES.keys() for module, imported in find_all_imports().items()}
        ).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_the_emulator_imports_none_of_the_layers():
    def is_layered(name: str) -> bool:
        return is_in(name, {"launcher"}) and not is_in(name, {EMULATOR})

    assert find_imports(lambda module: is_in(module, {EMULATOR}), is_layered) == {}


def test_of_the_emulator_only_its_daemon_is_imported():
    found = find_imports(
        lambda module: not is_in(module, {EMULATOR}), lambda name: is_in(name, {EMULATOR})
    )
    assert {name for names in found.values() for name in names} == {DAEMON}
    assert {module for module in found if not is_in(module, STARTS_EMULATORS)} == set()


def test_the_rooms_of_the_emulator_have_an_order():
    modules = {module for module in SOURCES if is_in(module, {EMULATOR})} - {EMULATOR}
    without = {module for module in modules if find_room(module) is None}
    assert without == {module for module in modules if is_in(module, {EXECUTOR})}
    assert find_upward_imports(find_room) == []


def test_the_console_is_a_client_that_nobody_imports():
    def is_console(module: str) -> bool:
        return is_in(module, {CONSOLE})

    assert find_imports(lambda module: not is_console(module), is_console) == {}
    assert find_imports(is_console, lambda name: is_in(name, {EMULATOR})) == {}


def test_nobody_imports_the_executor_which_shares_its_pipes_only():
    def is_executor(module: str) -> bool:
        return is_in(module, {EXECUTOR})

    assert find_imports(lambda module: not is_executor(module), is_executor) == {}
    shared = find_imports(
        is_executor, lambda name: is_in(name, {EMULATOR}) and not is_executor(name)
    )
    assert {name for names in shared.values() for name in names} == EXECUTOR_MAY_IMPORT
    beyond = find_imports(
        lambda module: module in EXECUTOR_MAY_IMPORT,
        lambda name: is_in(name, {"launcher"}) and name not in EXECUTOR_MAY_IMPORT,
    )
    assert beyond == {}


def test_what_is_private_to_beam_is_used_in_one_module():
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
        for module, path in SOURCES.items()
        if is_in(module, {EXECUTOR}) and module != BEAM_INTERNALS
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and re.match(r"_[^_]", node.attr)
        and ast.unparse(node.value) not in ("self", "cls", "os")
    ]
    assert found == []


def test_the_launcher_knows_of_the_template_only_its_parameters():
    def is_launcher(module: str) -> bool:
        own = {"launcher.demo", *IN_THE_IMAGE}
        return is_in(module, {"launcher"}) and not is_in(module, own)

    names = find_imports(is_launcher, lambda name: is_in(name, {"template"}))
    assert {name for each in names.values() for name in each} == {"template.parameters"}


def test_the_template_does_not_know_the_launcher():
    def is_template(module: str) -> bool:
        return is_in(module, {"template"})

    assert find_imports(is_template, lambda name: is_in(name, {"launcher"})) == {}


def test_the_parameter_table_needs_the_standard_library_only():
    heavy = {"apache_beam", "numpy", "pandas", "torch", "template", "launcher"}
    parts = {"template.parameter_records", "template.shared_parameters"}
    for module in ("template.parameters", *parts):
        assert {name for name in find_all_imports()[module] if is_in(name, heavy)} <= parts


@pytest.mark.parametrize("package", ["apache_beam", "torch"])
def test_only_what_runs_in_the_images_environment_imports_what_jobs_run_on(package):
    def of(module: str) -> bool:
        return is_in(module, {"launcher"}) and not is_in(module, IN_THE_IMAGE)

    assert find_imports(of, lambda name: is_in(name, {package})) == {}


def test_only_the_command_prints_and_exits():
    may = {EMULATOR, "launcher.cli", "launcher.commands", "launcher.demo"}
    found = []
    for module, path in SOURCES.items():
        if is_in(module, may) or not is_in(module, {"launcher"}):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            to_stream = any(keyword.arg == "file" for keyword in node.keywords)
            if called in ("sys.exit", "exit", "input") or (called == "print" and not to_stream):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {called}")
    assert found == []


def test_no_module_of_the_launcher_is_long():
    lengths = {
        module: len(path.read_text().splitlines())
        for module, path in SOURCES.items()
        if is_in(module, {"launcher"})
    }
    assert {module: length for module, length in lengths.items() if length > 400} == {}
