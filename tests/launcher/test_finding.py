"""Every kind of finding is declared once, and used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import launcher
from launcher import finding
from launcher.cli import main
from launcher.finding import CODES, Code

FOLDER = Path(launcher.__file__).parent


def find_used() -> set[str]:
    """Return the name of every constant that a finding is made with."""
    used = set()
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "launcher.finding":
                used |= {alias.name for alias in node.names}
    return used


def test_every_code_is_declared_once_under_its_own_name_and_used():
    declared = {name: value for name, value in vars(finding).items() if isinstance(value, Code)}
    assert [code.name for code in CODES] == [name.lower().replace("_", "-") for name in declared]
    assert declared.keys() <= find_used()
    assert all(code.meaning.endswith(".") for code in CODES)


def test_a_misspelt_code_fails_at_import():
    done = subprocess.run(
        [sys.executable, "-c", "from launcher.finding import GPU_TWYCE"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "cannot import name 'GPU_TWYCE'" in done.stderr


def test_the_command_lists_them(capsys):
    assert main(["check", "--codes"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{code.name} " in out and code.meaning in out for code in CODES)
