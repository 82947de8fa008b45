"""The documented codes are those that the checks use."""

from __future__ import annotations

import ast
from pathlib import Path

import launcher
from launcher.cli import main
from launcher.preflight.codes import CODES

FOLDER = Path(launcher.__file__).parent


def used_codes() -> set[str]:
    """Return the code of every finding that the sources make."""
    used = set()
    for path in FOLDER.rglob("*.py"):
        if "emulator" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            position = {"error": 0, "warning": 0, "found": 0, "Finding": 1}.get(name)
            if position is None or len(node.args) <= position:
                continue
            code = node.args[position]
            if isinstance(code, ast.Constant) and isinstance(code.value, str):
                used.add(code.value)
    return used


def test_every_code_is_documented_once_and_used():
    names = [code.name for code in CODES]
    assert len(names) == len(set(names))
    assert set(names) == used_codes()
    assert all(code.meaning.endswith(".") for code in CODES)


def test_the_command_lists_them(capsys):
    assert main(["check", "--codes"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{code.name} " in out and code.meaning in out for code in CODES)
