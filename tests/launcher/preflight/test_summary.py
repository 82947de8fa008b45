"""For every failure that the kit claims to catch, a test shows that it does."""

from __future__ import annotations

import ast
from pathlib import Path

from launcher.jobs.failures import load_failures
from launcher.preflight.summary import build_checks_table, is_caught
from tests.launcher.jobs.test_diagnosis import TEXTS

HERE = Path(__file__).parent
FILES = [
    *HERE.rglob("test_known_failures*.py"),
    HERE / "test_objects.py",
    HERE.parent / "jobs" / "test_verify.py",
]
FAILURES = load_failures().failures


def find_tested() -> set[str]:
    """Return the ids in the tests' names: of one failure, or of two joined by "and"."""
    return {
        name.replace("_", "-")
        for path in FILES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
        for name in node.name.removeprefix("test_").split("_and_")
    }


def test_every_failure_that_a_check_catches_has_its_test():
    with_codes = {failure.id for failure in FAILURES if failure.codes}
    assert with_codes <= find_tested()


def test_every_failure_that_is_only_diagnosed_has_its_text():
    diagnosed = {failure.id for failure in FAILURES if failure.patterns and not failure.codes}
    assert diagnosed <= {failure for failure, _ in TEXTS}


def test_the_table_counts_right():
    caught = [failure for failure in FAILURES if is_caught(failure)]
    assert len(FAILURES) == 57
    assert len(caught) >= 36
    table = build_checks_table()
    assert table.startswith(f"{len(caught)} of 57 known failures are caught")
    lines = table.splitlines()
    assert len(lines) == 2 + 2 + 57
    assert {line.count("|") for line in lines[2:]} == {7}
    row = next(line for line in lines if line.startswith("| A quota of the project"))
    assert row == "| A quota of the project is too small |  |  | `quota-short` |  | `quota` |"
