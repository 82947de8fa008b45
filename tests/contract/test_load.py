"""The load script, with small figures: it runs, and no call fails."""

from __future__ import annotations

import os
import sys

from tests.support import PROJECT_ROOT, run


def test_load() -> None:
    script = PROJECT_ROOT / "tests/bench/load_emulator.py"
    done = run(
        *(sys.executable, str(script), "--launches=2", "--calls=80", "--rounds=1"), env=os.environ
    )
    assert "2 launches accepted" in done.stdout
    assert "round 1: 80 calls over 8 connections" in done.stdout
