"""How tests are split among the workers of pytest-xdist."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

FIRST = ("docker", "e2e", "contract", "launcher/emulator", "launcher/preflight")
"""Folders whose tests take longest: begun last, one worker would wait for the other's."""
TOGETHER = ("docker", "contract", "e2e/console")
"""Folders for one worker each: their tests share an image, jobs, or a browser."""
ALONE = ("docker/test_probe.py",)
"""Long files in these folders that share nothing."""


def find_rank(nodeid: str) -> int:
    """Return the rank of a test's start: tests of the first folder have 0."""
    return next((rank for rank, each in enumerate(FIRST) if _is_in(nodeid, each)), len(FIRST))


class FolderScheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Assigns files in their order, and each folder of ``TOGETHER`` as one."""

    def _split_scope(self, nodeid: str) -> str:
        scope = str(super()._split_scope(nodeid))
        if scope.removeprefix("tests/") in ALONE:
            return scope
        return next((each for each in TOGETHER if _is_in(nodeid, each)), scope)


def _is_in(nodeid: str, folder: str) -> bool:
    return nodeid.startswith(f"tests/{folder}/")
