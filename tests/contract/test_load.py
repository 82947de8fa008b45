"""The load script, with small figures: it runs, and no call fails."""

from __future__ import annotations

import os
import sys

from tests.support import PROJECT_ROOT, run


def test_load() -> None:
    script = PROJECT_ROOT / "tests/bench/load_emulator.py"
    figures = ("--launches=3", "--real=1", "--calls=80", "--rounds=1")
    done = run(sys.executable, str(script), *figures, env=os.environ)
    assert "3 launches accepted" in done.stdout
    assert "1 of them ran the batch template and predicted 1,000 images each" in done.stdout
    assert "round 1: 80 calls over 8 connections" in done.stdout
