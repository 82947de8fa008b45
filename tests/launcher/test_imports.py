"""Which module may import which, and who may print, read from the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Client modules that the emulator must not share, so that one typo cannot pass on both sides.
CLIENT = {
    f"launcher.{path.stem}"
    for path in (ROOT / "launcher").iterdir()
    if path.stem not in ("__init__", "emulator", "__pycache__")
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_imports(path: Path) -> set[str]:
    """Return every module that a file imports, at whatever depth it stands."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            assert node.module is not None
            # ``from package import module`` imports the module too.
            imported.add(node.module)
            imported.update(f"{node.module}.{alias.name}" for alias in node.names)
    return imported


def is_in(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


IMPORTS = {
    module_name(path): read_imports(path)
    for folder in ("launcher", "template")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def offenders(of, packages):
    """Return the modules for which ``of`` holds and which import one of the packages."""
    return {
        module: found
        for module, imported in IMPORTS.items()
        if of(module) and (found := sorted(name for name in imported if is_in(name, packages)))
    }


def is_launcher(module: str) -> bool:
    return is_in(module, {"launcher"}) and not is_in(module, {"launcher.demo"})


def is_emulator(module: str) -> bool:
    return is_in(module, {"launcher.emulator"})


def test_the_sources_are_read():
    assert "template.parameters" in IMPORTS["launcher.package.metadata"]
    assert "google.cloud.storage" in {
        name
        for name in IMPORTS["launcher.google.storage"]
        if name.startswith("google.cloud.storage")
    }


def test_the_launcher_knows_of_the_template_only_its_parameters():
    allowed = {"template.parameters"}
    found = offenders(is_launcher, {"template"})
    assert {
        module: names
        for module, names in found.items()
        if not all(is_in(name, allowed) for name in names)
    } == {}


def test_the_template_does_not_know_the_launcher():
    assert offenders(lambda module: is_in(module, {"template"}), {"launcher"}) == {}


def test_the_parameter_table_needs_the_standard_library_only():
    heavy = {"apache_beam", "numpy", "pandas", "torch", "template", "launcher"}
    assert offenders(lambda module: module == "template.parameters", heavy) == {}


def test_the_emulator_shares_no_code_with_the_client():
    assert offenders(is_emulator, CLIENT) == {}


def test_only_the_commands_know_the_emulator():
    def of(module):
        return (
            is_launcher(module)
            and not is_emulator(module)
            and not is_in(module, {"launcher.commands"})
        )

    assert offenders(of, {"launcher.emulator"}) == {}
    assert set(offenders(lambda m: is_in(m, {"launcher.commands"}), {"launcher.emulator"})) == {
        "launcher.commands.emulator",
        "launcher.commands.metadata",
        "launcher.commands.rehearsal",
    }


@pytest.mark.parametrize("package", ["apache_beam", "torch"])
def test_only_what_runs_in_the_images_environment_imports_what_jobs_run_on(package):
    apart = {"launcher.emulator.executor", "launcher.preflight.probes"}

    def of(module):
        return is_launcher(module) and not is_in(module, apart)

    assert offenders(of, {package}) == {}


def test_only_the_command_prints_and_exits():
    def of(module):
        return (
            is_launcher(module)
            and not is_emulator(module)
            and not is_in(module, {"launcher.cli", "launcher.commands"})
        )

    found = []
    for path in sorted((ROOT / "launcher").rglob("*.py")):
        if not of(module_name(path)):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            to_stream = any(keyword.arg == "file" for keyword in node.keywords)
            if called in ("sys.exit", "exit", "input") or (called == "print" and not to_stream):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {called}")
    assert found == []
