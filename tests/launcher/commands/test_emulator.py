"""What ``flexpack emulator`` says."""

from __future__ import annotations

from pathlib import Path

from launcher.commands.emulator import explain_none_runs


def test_a_flag_is_named_only_if_it_was_given():
    assert explain_none_runs(Path("/d")) == (
        "--data-dir /d: no local Dataflow runs on /d; start one with 'flexpack emulator start "
        "--detach --data-dir /d'"
    )
    assert explain_none_runs(None) == (
        f"no local Dataflow runs on {Path.cwd()}/.flexpack or port 9100; start one with 'flexpack "
        "emulator start --detach'"
    )
