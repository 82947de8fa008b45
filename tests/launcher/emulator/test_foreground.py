"""What a start checks before anything runs."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.emulator.foreground import serve
from launcher.emulator.instance import EmulatorOptionError
from launcher.emulator.options import EmulatorOptions


@pytest.fixture
def started_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a program writes when it is started in place of Google's Pub/Sub emulator."""
    sdk, started = tmp_path / "sdk", tmp_path / "started"
    program = sdk / "platform" / "pubsub-emulator" / "bin" / "cloud-pubsub-emulator"
    for file, script in ((sdk / "bin" / "gcloud", "exit 0"), (program, f"touch {started}; exit 0")):
        file.parent.mkdir(parents=True)
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", str(sdk / "bin"), prepend=":")
    monkeypatch.setenv("JAVA_HOME", str(sdk))
    return started


def wrong_image(folder: Path, busy_port: int) -> tuple[EmulatorOptions, str]:
    images = folder / "images.toml"
    images.write_text("[image]\npython = '/nowhere/python'\n")
    return EmulatorOptions(port=0, data_dir=folder / "data", images=images), "--images: .*nowhere"


def wrong_projects(folder: Path, busy_port: int) -> tuple[EmulatorOptions, str]:
    (folder / "data").mkdir(mode=0o700)
    (folder / "data" / "projects.json").write_text("[")
    return EmulatorOptions(port=0, data_dir=folder / "data"), r"--data-dir: .*projects\.json cannot"


def busy_port(folder: Path, busy_port: int) -> tuple[EmulatorOptions, str]:
    options = EmulatorOptions(port=0, storage_port=busy_port, data_dir=folder / "data")
    return options, f"--storage-port {busy_port}: the port is in use"


@pytest.mark.parametrize("make_options", [wrong_image, wrong_projects, busy_port])
def test_nothing_starts_with_a_wrong_option(
    make_options: Callable[[Path, int], tuple[EmulatorOptions, str]],
    tmp_path: Path,
    started_file: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        options, problem = make_options(tmp_path, busy.getsockname()[1])
        with pytest.raises(EmulatorOptionError, match=problem):
            serve(options, on_ready=lambda info: None)
    assert not started_file.exists()
