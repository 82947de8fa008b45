"""The process that serves ends when its folder no longer exists."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from starlette.applications import Starlette

from launcher.emulator.ports import bind
from launcher.emulator.server import serve_apps


@pytest.mark.parametrize("change", ["moved", "deleted", "replaced"])
def test_without_its_folder_it_ends(
    change: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()

    def change_folder() -> None:
        if change == "deleted":
            folder.rmdir()
        else:
            folder.rename(tmp_path / "moved")
        if change == "replaced":
            folder.mkdir()

    async def serve() -> None:
        with bind(0, "--port") as listener:
            apps = {Starlette(): listener}

            def on_ready() -> None:
                asyncio.get_running_loop().call_later(0.1, change_folder)

            async with asyncio.timeout(60):
                await serve_apps(apps, on_ready=on_ready, folder=folder)

    with caplog.at_level(logging.ERROR):
        asyncio.run(serve())
    assert f"{folder} was moved or deleted" in caplog.text
