"""Each option is declared once: its flag, its bounds, the detached process's command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.emulator.instance import EmulatorOptionError
from launcher.emulator.options import OPTIONS, EmulatorOptions, parse_arguments


def test_the_command_line_carries_every_option(tmp_path: Path) -> None:
    options = EmulatorOptions(
        data_dir=tmp_path / "data",
        port=1,
        storage_port=0,
        images=tmp_path / "images.toml",
        max_jobs=3,
        pubsub_port=0,
        pubsub_heap_mb=100,
        keep_jobs=0,
        running_sec=7,
        no_console=True,
        no_warm=True,
    )
    assert all(getattr(options, option.name) != option.default for option in OPTIONS)
    for sent in (options, EmulatorOptions(data_dir=tmp_path)):
        assert parse_arguments(sent.to_arguments()) == sent


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"port": -1}, "--port -1: must be from 1 to 65532, or 0 for a free port"),
        ({"port": 65533}, "--port 65533: must be from 1 to 65532"),
        ({"storage_port": 65536}, "--storage-port 65536: must be from 1 to 65535"),
        ({"max_jobs": 0}, "--max-jobs 0: must be 1 or more"),
    ],
)
def test_numbers_out_of_bounds_are_refused(fields: dict[str, int], problem: str) -> None:
    with pytest.raises(EmulatorOptionError, match=problem):
        EmulatorOptions(**fields).check()
    EmulatorOptions(port=65532, storage_port=65535, max_jobs=1).check()


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"storage_port": 9100}, "--storage-port 9100: --port 9100 uses this port already"),
        ({"pubsub_port": 9101}, "--pubsub-port 9101: --storage-port 9101 uses this port"),
        ({"port": 9, "storage_port": 11}, "--pubsub-port 11: --storage-port 11 uses"),
    ],
)
def test_two_services_do_not_share_a_port(fields: dict[str, int], problem: str) -> None:
    with pytest.raises(EmulatorOptionError, match=problem):
        EmulatorOptions(**fields).check()
    EmulatorOptions(port=0, storage_port=0, pubsub_port=0).check()
