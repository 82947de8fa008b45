"""Fixtures that several groups of tests share: the local Dataflow, and images with weights."""

from __future__ import annotations

import dataclasses
import fcntl
import gc
import os
import signal
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from launcher.emulator import daemon
from tests.ids import make_id
from tests.scheduling import FolderScheduling, find_rank
from tests.support import BIN, PROJECT, REAL_DATA, ImageSet, bare_environ, run_emulator

_MOST_WORKERS = 8  # each has up to a gigabyte


def pytest_configure() -> None:
    """React to an interrupt, which a shell disables for background programs."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: find_rank(item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while modules are imported, nor later among the objects that they hold."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return more than twice the number of cores, because tests wait for half of their time."""
    return min(2 * (os.cpu_count() or 1) + 1, _MOST_WORKERS)


def pytest_make_parametrize_id(val: Any) -> str | None:
    return make_id(val)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FolderScheduling | None:
    if config.getoption("dist") != "loadfile":
        return None
    # Otherwise files with many tests go first, however quick they are.
    config.option.loadscopereorder = False
    return FolderScheduling(config, log)


@pytest.fixture(scope="session")
def garments(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """The demo's drawn images and the network trained on their like, made once for all workers."""
    from template.demo.train import IMAGES_NAME, LABELS_NAME, WEIGHTS_NAME, write_demo_files

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    directory = folder / "garments"
    with (folder / "garments.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            new = tmp_path_factory.mktemp("garments")
            write_demo_files(new)
            new.rename(directory)
    return ImageSet(directory / IMAGES_NAME, directory / LABELS_NAME, directory / WEIGHTS_NAME)


@pytest.fixture(scope="session")
def fashion_mnist() -> ImageSet:
    """1,000 real Fashion-MNIST images and the recipe's weights; if absent, skips the test."""
    folder = REAL_DATA / "fashion-mnist"
    found = ImageSet(
        folder / "t1k-images-idx3-ubyte.gz",
        folder / "t1k-labels-idx1-ubyte.gz",
        REAL_DATA / "fashion.pth",
    )
    missing = [str(path) for path in dataclasses.astuple(found) if not path.exists()]
    if missing:
        pytest.skip(f"real Fashion-MNIST data is not there: {', '.join(missing)}")
    return found


@pytest.fixture(scope="session")
def image_set(request: pytest.FixtureRequest) -> ImageSet:
    """The real images if they are present, otherwise the drawn ones."""
    present = (REAL_DATA / "fashion.pth").exists()
    return request.getfixturevalue("fashion_mnist" if present else "garments")


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[daemon.EmulatorInfo]:
    """A local Dataflow in a separate process, on free ports."""
    with run_emulator(tmp_path_factory.mktemp("emulator"), images=None) as info:
        yield info


@pytest.fixture(scope="session")
def emulator_env(emulator: daemon.EmulatorInfo) -> dict[str, str]:
    """The environment of a shell that has evaluated ``flexpack emulator env``."""
    own = bare_environ()
    path = os.pathsep.join([str(BIN), own.get("PATH", "")])
    return own | daemon.shell_variables(emulator, project=PROJECT) | {"PATH": path}
