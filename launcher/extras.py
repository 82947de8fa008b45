"""The kit's extras: the optional dependencies of pyproject.toml, and how to install them.

The source of the kit itself is in its direct_url.json (PEP 610).
https://packaging.python.org/en/latest/specifications/direct-url/

``template`` holds the image's packages, ``emulator`` those of the local Dataflow, ``dev`` the tools
for work on the kit.
"""

from __future__ import annotations

import importlib.metadata
import json
import shlex
import sys
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement

from launcher.errors import MissingExtra

_DISTRIBUTION = "flexpack"


def require_extras(action: str, *extras: str) -> None:
    """Refuse an action whose packages are not installed.

    Args:
        action: the command, for the message: ``emulator start``.

    Raises:
        MissingExtra: packages are missing; the message has the command that installs them.
    """
    missing = {extra: packages for extra in extras if (packages := find_missing(extra))}
    if not missing:
        return
    names = " and ".join(repr(extra) for extra in missing)
    packages = sorted({package for each in missing.values() for package in each})
    raise MissingExtra(
        f"{action} needs the extra{'s' if len(missing) > 1 else ''} {names} "
        f"(not installed: {', '.join(packages)}): {format_install(*missing)}"
    )


def find_missing(extra: str) -> list[str]:
    """Return the packages of an extra that are not installed."""
    try:
        declared = map(Requirement, importlib.metadata.requires(_DISTRIBUTION) or ())
    except importlib.metadata.PackageNotFoundError:  # not installed, but run from its source
        return []
    return [
        requirement.name
        for requirement in declared
        if requirement.marker
        and requirement.marker.evaluate({"extra": extra})
        and not requirement.marker.evaluate({"extra": ""})
        and not _is_installed(requirement.name)
    ]


def format_install(*extras: str) -> str:
    """Return the command that installs extras from the kit's source."""
    distribution = importlib.metadata.distribution(_DISTRIBUTION)
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        folder = unquote(urlsplit(origin["url"]).path)
        source = f"--editable {shlex.quote(folder + _format_extras(extras))}"
    else:
        source = shlex.quote(find_requirement(extras))
    return f"{shlex.quote(sys.executable)} -m pip install {source}"


def find_requirement(extras: Sequence[str] = ()) -> str:
    """Return this kit as a requirement for pip: a folder, a wheel, an archive or a repository.

    Never the bare name, because an index may have somebody else's package with that name. If the
    kit was installed from an index, it names the exact version.
    """
    distribution = importlib.metadata.distribution(_DISTRIBUTION)
    name = _DISTRIBUTION + _format_extras(extras)
    text = distribution.read_text("direct_url.json")
    if text is None:
        return f"{name}=={distribution.version}"
    origin = json.loads(text)
    url = origin["url"]
    if vcs := origin.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    if folder := origin.get("subdirectory"):
        url += f"#subdirectory={folder}"
    return f"{name} @ {url}"


def _format_extras(extras: Sequence[str]) -> str:
    return f"[{','.join(extras)}]" if extras else ""


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
