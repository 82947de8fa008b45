"""Entry of a worker process in one of Beam's own images: Beam is there, and nothing of the user's.

Run as ``python -I stock_boot.py`` in place of ``worker_boot.py``. There is no such image on this
machine, so the emulator's interpreter plays it: whatever is installed beside Beam is hidden, and
importing it fails as it does on Dataflow when a launch forgets ``sdk_container_image``.
https://beam.apache.org/documentation/runtime/environments/
"""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Collection, Sequence
from importlib import metadata
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

_ROOTS = ("apache-beam[dataframe,gcp,yaml]", "pip", "setuptools")
# Installed in Beam's images beyond what Beam itself requires.
_EXTRAS = ("guppy3", "mmh3", "nltk", "python-snappy", "scikit-learn", "scipy")


class HideModules(MetaPathFinder):
    """Makes modules look as if they were not installed."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


def find_foreign_modules() -> set[str]:
    """Return the top-level modules that are installed here but not in Beam's images."""
    stock = _with_requirements([*_ROOTS, *_EXTRAS])
    return {
        module
        for module, distributions in metadata.packages_distributions().items()
        if not stock.intersection(map(_normalize, distributions))
    }


def _with_requirements(roots: Sequence[str]) -> set[str]:
    from packaging.requirements import Requirement

    found: set[tuple[str, str]] = set()
    pending = [Requirement(root) for root in roots]
    while pending:
        requirement = pending.pop()
        name = _normalize(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in found:
                continue
            found.add((name, extra))
            try:
                needed = metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                continue
            pending += [
                wanted
                for wanted in map(Requirement, needed)
                if wanted.marker is None or wanted.marker.evaluate({"extra": extra})
            ]
    return {name for name, _ in found}


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.meta_path.insert(0, HideModules(find_foreign_modules()))
    runpy.run_path(str(Path(__file__).with_name("worker_boot.py")), run_name="__main__")
