"""Where the kit's own files are.

``docker/``, ``metadata/`` and ``template/`` stand side by side: at the root of a checkout, or below
this package if the kit was installed from a wheel.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent
# setup.py copies the three folders there when it builds a wheel.
_WHEEL_FILES = _PACKAGE / "kit_files"
_PARTS = ("docker/Dockerfile", "docker/requirements.in")


def find_kit(folder: Path = Path()) -> Path:
    """Return the folder that holds the kit's ``docker/``, ``metadata/`` and ``template/``.

    Args:
        folder: used unchanged if it holds a checkout or a copy of the kit. Otherwise the result is
            the folder of the kit that runs.
    """
    if all((folder / part).is_file() for part in _PARTS):
        return folder
    return _WHEEL_FILES if _WHEEL_FILES.is_dir() else _PACKAGE.parent


def is_from_wheel(kit: Path) -> bool:
    """Return whether these files came with a wheel. Git then knows nothing about them."""
    return kit == _WHEEL_FILES
