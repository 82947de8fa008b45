"""Where tests are, and how they are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import PROJECT_ROOT

TESTS = PROJECT_ROOT / "tests"
MAX_LINES = 400
MAX_ID = 160


@pytest.mark.parametrize("package", ["template", "launcher"])
def test_folders_mirror_the_code(package: str) -> None:
    folders = {path.parent for path in (TESTS / package).rglob("test_*.py")}
    code = [PROJECT_ROOT / folder.relative_to(TESTS) for folder in folders]
    assert [str(folder) for folder in code if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("package", ["template", "launcher"])
def test_a_module_is_tested_beside_its_neighbours(package: str) -> None:
    """A test named after a module of another folder belongs in that folder."""
    homes: dict[str, set[Path]] = {}
    for path in (PROJECT_ROOT / package).rglob("*.py"):
        homes.setdefault(path.stem, set()).add(path.parent)
    strays = []
    for path in (TESTS / package).rglob("test_*.py"):
        folder = PROJECT_ROOT / path.parent.relative_to(TESTS)
        found = homes.get(path.stem.removeprefix("test_"), {folder})
        if folder not in found and not (folder / path.stem.removeprefix("test_")).is_dir():
            strays.append(f"{path.relative_to(TESTS)}: belongs to one of {sorted(map(str, found))}")
    assert strays == []


def test_modules_are_short() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in TESTS.rglob("*.py")}
    assert {str(path): length for path, length in lengths.items() if length > MAX_LINES} == {}


def test_ids_say_what_a_case_is(request: pytest.FixtureRequest) -> None:
    """Checks the ids of all tests: no ``value0``, and nothing that a terminal cannot show well."""
    bad = []
    for item in request.session.items:
        if callspec := getattr(item, "callspec", None):
            numbered = "|".join(map(re.escape, callspec.params))
            is_numbered = re.search(rf"(^|-)({numbered})\d+(-|$)", callspec.id)
            if is_numbered or len(callspec.id) > MAX_ID or not callspec.id.isprintable():
                bad.append(item.nodeid)
    assert bad == []
