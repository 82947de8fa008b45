"""Scans an image's bill of materials for known vulnerabilities, with the user's own scanner."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import ImageError, InputError

_TIMEOUT_SEC = 900.0  # The first scan downloads the scanner's database.


@dataclass(frozen=True)
class Scanner:
    """A scanner that reads CycloneDX. Its command exits with 1 if something is serious."""

    name: str
    command: Callable[[Path], list[str]]


SCANNERS = (
    Scanner(
        "trivy",
        lambda sbom: ["trivy", "sbom", "--severity=HIGH,CRITICAL", "--exit-code=1", str(sbom)],
    ),
    Scanner("grype", lambda sbom: ["grype", f"sbom:{sbom}", "--fail-on=high"]),
)


def find_scanner() -> Scanner:
    """Return the first scanner that is installed.

    Raises:
        InputError: none is.
    """
    for scanner in SCANNERS:
        if shutil.which(scanner.name):
            return scanner
    raise InputError(
        "--scan: neither trivy nor grype is installed; install one (https://trivy.dev, "
        "https://github.com/anchore/grype), or run the test without --scan"
    )


def scan(scanner: Scanner, sbom: Path) -> int:
    """Run a scanner, which prints its findings; return its exit status, 0 if nothing is serious.

    Blocks, for minutes the first time.

    Raises:
        ImageError: it took too long.
    """
    try:
        return subprocess.run(scanner.command(sbom), timeout=_TIMEOUT_SEC, check=False).returncode
    except subprocess.TimeoutExpired as error:
        raise ImageError(f"{scanner.name}: was stopped after {_TIMEOUT_SEC:g} s") from error
