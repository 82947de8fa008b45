"""Where this flexpack was installed from, so that others can install the same.

Never the bare name: in a registry that could be a stranger's package. Mirrors PEP 610:
https://packaging.python.org/en/latest/specifications/direct-url/
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from importlib import metadata

_DISTRIBUTION = "flexpack"


def find_requirement(extras: Sequence[str] = ()) -> str:
    """Return what pip installs this flexpack by: a folder, a wheel, an archive or a repository.

    Installed from an index it has no such place, and its exact version is all that is known.
    """
    distribution = metadata.distribution(_DISTRIBUTION)
    declared = distribution.metadata.get_all("Provides-Extra") or []
    known = [extra for extra in extras if extra in declared]
    name = f"{_DISTRIBUTION}[{','.join(known)}]" if known else _DISTRIBUTION
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


def find_missing(packages: Sequence[str]) -> str:
    """Return the first of some packages that cannot be imported here, or nothing."""
    return next((each for each in packages if importlib.util.find_spec(each) is None), "")
